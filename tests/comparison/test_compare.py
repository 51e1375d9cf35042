"""``compare``: both run on one recording, and the exit status says whether they declare the same."""

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from secoda_async.cli.app import app
from tests.command_line import command, one_message
from tests.server import serve
from tests.test_cluvio import CREDENTIALS, Api

EXAMPLES = Path(__file__).parents[2] / "examples"
OLD = f"{EXAMPLES / 'legacy_cluvio.py'}:CluvioIntegration"
NEW = f"{EXAMPLES / 'cluvio.py'}:Cluvio"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def given(api: Api, tmp_path: Path) -> AsyncIterator[list[object]]:
    """The options that say which source it is."""
    path = tmp_path / "credentials.json"
    async with serve(api.answer) as url:
        path.write_bytes(orjson.dumps({"base_url": url, **CREDENTIALS}))
        yield ["--credentials-file", path]


def port(tmp_path: Path, *changes: tuple[str, str]) -> str:
    """The port with something changed."""
    text = (EXAMPLES / "cluvio.py").read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = tmp_path / "port.py"
    path.write_text(text)
    return f"{path}:Cluvio"


async def test_the_port_of_the_example_declares_what_its_original_does(
    api: Api, given: list[object], tmp_path: Path
) -> None:
    status, out, errors = await command("compare", OLD, NEW, *given, "--record", tmp_path / "recording")
    assert (status, errors) == (0, "")
    assert "no difference" in out
    assert "3 resources (0 repeated), 2 lineage (0 repeated), 2 requests" in out
    assert len(api.asked) == 2
    status, out, _ = await command("compare", NEW, OLD, *given, "--recording", tmp_path / "recording", "--json")
    assert (status, orjson.loads(out)["none"]) == (0, True)
    assert len(api.asked) == 2  # it was not asked again


async def test_what_differs_is_told_by_id_and_field_and_by_the_exit_status(given: list[object], tmp_path: Path) -> None:
    wrong = port(
        tmp_path, ('product="cluvio"', 'product="Cluvio"'), ("databuilder_id=GROUP, title", 'databuilder_id="g", title')
    )
    status, out, _ = await command("compare", OLD, wrong, *given)
    assert status == 5
    assert "only OLD declares 1 resource\n  - dashboard_group dashboard_group.default" in out
    assert "only NEW declares 1 resource\n  + dashboard_group g" in out
    assert "other values: 2 resources (product 2)" in out
    assert "  dashboard dashboard.a1\n    product: “cluvio” → “Cluvio”" in out


async def test_requests_that_are_not_in_the_recording_are_named(given: list[object], tmp_path: Path) -> None:
    wrong = port(tmp_path, ('"/dashboards/"', '"/dashboards"'))
    status, out, errors = await command("compare", OLD, wrong, *given)
    assert (status, out) == (1, "")
    assert f"NEW ({wrong}) failed" in one_message(errors)
    assert "asks for what is not in the recording:\n  GET http://127.0.0.1:" in errors
    assert "correct horse" not in errors
    status, out, errors = await command("compare", OLD, wrong, *given, "--live")
    assert status == 1
    assert f"NEW ({wrong}) failed" in one_message(errors)
    assert "answered 404" in errors


async def test_a_port_that_asks_for_other_things_is_compared_against_the_source(
    api: Api, given: list[object], tmp_path: Path
) -> None:
    other = port(tmp_path, ('"/dashboards/"', '"/dashboards/?page=all"'))
    status, out, _ = await command("compare", OLD, other, *given, "--live")
    assert status == 0
    assert "no difference" in out
    assert len(api.asked) == 4


async def test_a_source_that_fails_is_told_of_and_nothing_is_compared(given: list[object], tmp_path: Path) -> None:
    status, out, errors = await command("compare", OLD, NEW, *given, "--credential", "password=wrong-geheim")
    assert (status, out) == (1, "")
    assert f"OLD ({OLD}) failed" in one_message(errors)
    assert "401" in errors
    assert "geheim" not in errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([OLD, NEW, "--recording", "nowhere"], "--recording: there is no file nowhere; leave it out"),
        ([OLD, NEW, "--recording", "a", "--record", "b"], "give --recording or --record, not both"),
        ([OLD, NEW, "--live", "--record", "a"], "--live uses no recording"),
        ([OLD, NEW, "--record", "no/where"], "--record: there is no folder no; make it"),
    ],
)
def test_options_that_cannot_be_used_are_told_of_before_anything_runs(arguments: list[str], told: str) -> None:
    ended = CliRunner().invoke(app, ["compare", *arguments])
    assert ended.exit_code == 2
    assert told in one_message(ended.stderr)


async def test_what_cannot_be_run_is_told_of_with_its_side(tmp_path: Path) -> None:
    status, _, errors = await command("compare", "legacy.py:X", NEW, cwd=tmp_path)
    assert status == 2
    assert "OLD (legacy.py:X): there is no file legacy.py" in one_message(errors)
    no_recording = ["--recording", __file__, "--credential", "email=e", "--credential", "password=geheim"]
    status, _, errors = await command("compare", OLD, NEW, *no_recording)
    assert status == 2
    assert f"the journal {__file__} cannot be read" in one_message(errors)
