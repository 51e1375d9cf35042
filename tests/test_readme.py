"""The README's integration is one that works."""

from typing import Any

from aiohttp import web

from secoda_async import SecodaIntegration
from tests.integrations import MemorySink
from tests.markdown import ROOT, blocks
from tests.server import serve

README = ROOT / "README.md"


def integration_of_the_readme() -> type[SecodaIntegration]:
    [block] = blocks(README)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block.code, str(README), "exec"), names)
    return names["Jobs"]


async def test_the_shortest_integration_of_the_readme_runs() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer geheim"
        if request.path == "/api/jobs":
            return web.json_response([{"id": 1}, {"id": 2}])
        return web.json_response({"name": f"job {request.path[-1]}"})

    async with serve(answer) as url:
        made = integration_of_the_readme()(credentials={"token": "geheim", "base_url": f"{url}/api"})
        report = await made.run(MemorySink())
    assert report.resources == {"dashboard": 2}
