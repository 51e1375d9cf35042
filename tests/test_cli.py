"""The command line: each way a run can end is one plain message and one exit status."""

import re
import shlex
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web
from typer.testing import CliRunner

from secoda_async.cli.app import app
from secoda_async.testing import FakeWorkspace
from tests.command_line import COMMAND, command, one_message
from tests.network.proxy_server import proxy_server
from tests.processes import started
from tests.server import serve

SOURCE = """
import asyncio
import json
from secoda_async import Input, RateLimit, Resource, RetryPolicy, SecodaIntegration


class Tables(SecodaIntegration):
    inputs = {"base_url": Input(secret=False), "token": Input(required=False), "count": Input(False, False)}
    retry = RetryPolicy(attempts=2, backoff=0.01)

    async def extract(self) -> None:
        await self.for_each(range(int(self.credentials.get("count", 20))), self.one)

    async def one(self, number: int) -> None:
        reply = await self.http_get(f"/tables/{number}", headers={"X-Token": self.credentials.get("token", "none")})
        await self.declare_resource(Resource(entity_type="table", databuilder_id=reply.json()["path"]))


class Fails(Tables):
    async def extract(self) -> None:
        await super().extract()
        await self.http_get("/fails?token=" + self.credentials["token"])


class Strays(Tables):
    endpoints = ["GET 127.0.0.1/tables/{n}"]

    async def extract(self) -> None:
        await super().extract()
        await self.http_get("/users")


class NoSuchHost(Tables):
    rate_limits = {"http://x": RateLimit(1)}


class Swallows(Tables):
    async def extract(self) -> None:
        try:
            await self.http_get("/fails")
        except Exception:
            pass
        await super().extract()


class Html(Tables):
    async def extract(self) -> None:
        (await self.http_get("/html")).json()


class Surrogate(Tables):
    async def extract(self) -> None:
        await self.declare_resource(Resource(entity_type="table", databuilder_id="t1", title="a\\ud800b"))


class Bug(Tables):
    async def extract(self) -> None:
        {}["data"]


class BugInALibrary(Tables):
    async def extract(self) -> None:
        json.loads("{")


class Endless(Tables):
    async def extract(self) -> None:
        while True:
            await super().extract()


class NotAsync(Tables):
    def extract(self):
        return None


class NoExtract(SecodaIntegration):
    pass


class Other:
    pass
"""


SOMEWHERE = ["--credential", "base_url=https://127.0.0.1:9"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.py"
    path.write_text(SOURCE.replace("Input(False, False)", "Input(secret=False, required=False)"))
    return path


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        if request.path.startswith("/fails"):
            return web.Response(status=500, text="the source is broken")
        if request.path == "/html":
            return web.Response(text="<html>please sign in</html>", content_type="text/html")
        return web.json_response({"path": request.path})

    async with serve(answer) as base:
        yield base


async def test_a_complete_run_prints_every_line_and_exits_with_0(source: Path, url: str) -> None:
    status, out, errors = await command("run", f"{source}:Tables", "--credential", f"base_url={url}")
    assert (status, "complete" in errors) == (0, True)
    assert sorted(orjson.loads(line)["databuilder_id"] for line in out.splitlines()) == sorted(
        f"/tables/{number}" for number in range(20)
    )


async def test_out_writes_files_and_says_where(source: Path, url: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    status, out, errors = await command("run", f"{source}:Tables", "--credential", f"base_url={url}", "--out", target)
    assert (status, out) == (0, "")
    assert str(target) in errors
    assert "20 table" in errors
    assert sorted(entry.name for entry in target.iterdir()) == ["lineage.jsonl", "resources.jsonl", "run.json"]


async def test_a_module_is_found_from_the_working_directory(source: Path, url: str) -> None:
    done = await anyio.run_process(
        [COMMAND, "run", "source:Tables", "--credential", f"base_url={url}", "--quiet"], cwd=source.parent
    )
    assert len(done.stdout.splitlines()) == 20
    assert done.stderr == b""


async def test_upload_sends_one_sync(source: Path, url: str) -> None:
    async with FakeWorkspace(api_key="key-of-the-workspace") as workspace:
        integration_id = workspace.create_integration("tables")
        status, _, errors = await command(
            *("run", f"{source}:Tables", "--credential", f"base_url={url}", "--upload"),
            *("--integration-id", integration_id, "--base-url", workspace.url),
            env={"SECODA_API_KEY": "key-of-the-workspace"},
        )
        assert status == 0, errors
        assert len(workspace.syncs(integration_id)) == 1
        assert set(workspace.resources(integration_id)) == {f"/tables/{number}" for number in range(20)}


@pytest.mark.parametrize("name", ["Fails", "Swallows"])
async def test_a_source_that_fails_for_good_is_exit_status_1_and_nothing_is_uploaded_or_replaced(
    name: str, source: Path, url: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ("--credential", f"base_url={url}", "--credential-env", "token=TOKEN")
    env = {"TOKEN": "geheimes-token", "SECODA_API_KEY": "key-of-the-workspace"}
    await command("run", f"{source}:Tables", *given, "--out", out, env=env)
    before = {entry.name: entry.read_bytes() for entry in out.iterdir()}
    status, _, errors = await command("run", f"{source}:{name}", *given, "--out", out, env=env)
    assert status == 1
    assert f"{url}/fails" in one_message(errors)
    assert "500" in one_message(errors)
    after = {entry.name: entry.read_bytes() for entry in out.iterdir() if entry.name != "run.failed.json"}
    assert after == before
    async with FakeWorkspace(api_key="key-of-the-workspace") as workspace:
        integration_id = workspace.create_integration("tables")
        status, _, errors = await command(
            *("run", f"{source}:{name}", *given, "--upload"),
            *("--integration-id", integration_id, "--base-url", workspace.url),
            env=env,
        )
        assert (status, workspace.syncs(integration_id)) == (1, [])
        assert "geheimes-token" not in errors


async def test_a_failed_run_that_kept_a_journal_says_how_to_continue_it(source: Path, url: str) -> None:
    arguments = ("run", f"{source}:Fails", "--credential", f"base_url={url}", "--credential", "token=geheim")
    _, _, errors = await command(*arguments)
    assert "--resume" not in errors
    status, _, errors = await command(*arguments, "--resumable")
    assert status == 1
    [how] = re.findall(r"^--resume (\S+) continues this run$", errors, re.MULTILINE)
    status, _, errors = await command(*arguments, "--resume", how)
    assert (status, "20 from a journal" in errors) == (1, True)
    assert re.search(r"^--resume \S+ continues this run$", errors, re.MULTILINE)
    status, _, errors = await command(*arguments, "--resume", "nowhere")
    assert (status, "continues" in errors) == (2, False)


async def test_losses_that_are_allowed_are_exit_status_6_and_said(source: Path, url: str, tmp_path: Path) -> None:
    status, _, errors = await command(
        *("run", f"{source}:Swallows", "--credential", f"base_url={url}", "--out", tmp_path / "out", "--allow-losses")
    )
    assert status == 6
    assert "degraded" in errors
    assert f"lost: GET {url}/fails answered 500" in errors
    assert (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize(
    ("name", "status", "says"),
    [
        ("Html", 1, ["/html answered 200", "not JSON", "text/html", "please sign in"]),
        ("Surrogate", 1, ["'t1'", "title", "lone surrogate", "U+D800"]),
        ("Bug", 1, ["KeyError: 'data'", "extract at", "source.py:", "--debug"]),
        ("BugInALibrary", 1, ["JSONDecodeError", "extract at", "source.py:"]),
        ("NotAsync", 2, ["async def extract"]),
        ("NoExtract", 2, ["NoExtract", "extract()"]),
        ("NoSuchHost", 2, ["rate_limits: 'http://x' is no host; use a host, host:port", "without http://"]),
        ("Other", 2, ["Other", "no subclass of SecodaIntegration"]),
        ("Nowhere", 2, ["no class Nowhere", "Tables"]),
        ("no class", 2, ["MODULE:CLASS"]),
    ],
)
async def test_what_is_wrong_with_the_integration_is_one_message(
    name: str, status: int, says: list[str], source: Path, url: str
) -> None:
    found, out, errors = await command("run", f"{source}:{name}", "--credential", f"base_url={url}")
    assert (found, out) == (status, "")
    for words in says:
        assert words in one_message(errors)
    assert errors.splitlines()[-1].startswith("error: "), "nothing follows it"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.py:X"], ["no file nowhere.py"]),
        (["nowhere:X"], ["no module 'nowhere'"]),
        (["SOURCE:Tables", "--credential", "geheim"], ["--credential must be NAME=VALUE"]),
        (["SOURCE:Tables", "--credential", "tokn=geheim"], ["no such credential: tokn", "base_url, token"]),
        (["SOURCE:Tables", "--credential-env", "token=NOT_THERE"], ["no variable NOT_THERE"]),
        (["SOURCE:Tables", "--credentials-file", "nowhere.json"], ["nowhere.json cannot be read"]),
        (["SOURCE:Tables", "--credentials-file", "SOURCE"], ["is not JSON (line 2"]),
        (["SOURCE:Tables"], ["'base_url' is missing", "--credential base_url=VALUE"]),
        (["SOURCE:Tables", "--credential", "base_url=ftp://x"], ["base_url must start with http"]),
        (["SOURCE:Tables", "--out", "x", "--upload"], ["--out or --upload"]),
        (["SOURCE:Tables", "--integration-id", "x"], ["belongs to --upload"]),
        (["SOURCE:Tables", "--upload"], ["needs --integration-id"]),
        (["SOURCE:Tables", "--upload", "--integration-id", "x"], ["API key", "SECODA_API_KEY"]),
        (["SOURCE:Tables", "--concurrency", "0"], ["concurrency must be"]),
        (["SOURCE:Tables", "--enforce-endpoints"], ["enforce_endpoints needs endpoints"]),
        (["SOURCE:Tables", *SOMEWHERE, "--proxy", "https://u:geheim@x:1"], ["proxy must be http://host:port"]),
        (["SOURCE:Tables", *SOMEWHERE, "--ca-file", "nowhere.pem"], ["nowhere.pem", "certificates in PEM"]),
    ],
)
def test_what_is_wrong_with_the_command_is_one_message_and_exit_status_2(
    arguments: list[str], says: list[str], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(source.parent)  # undone afterwards, with what the command adds
    arguments = [argument.replace("SOURCE", str(source)) for argument in arguments]
    done = CliRunner().invoke(app, ["run", *arguments], env={"SECODA_API_KEY": ""})
    assert (done.exit_code, done.stdout) == (2, "")
    for words in says:
        assert words in one_message(done.stderr)
    assert "geheim" not in done.stderr


async def test_endpoints_that_are_not_declared_are_refused_only_where_that_is_asked_for(source: Path, url: str) -> None:
    arguments = ("run", f"{source}:Strays", "--credential", f"base_url={url}")
    status, out, _ = await command(*arguments)
    assert (status, len(out.splitlines())) == (0, 20)
    status, out, errors = await command(*arguments, "--enforce-endpoints")
    assert (status, out) == (1, "")
    assert "/users was not sent" in one_message(errors)


async def test_private_addresses_are_refused_where_that_is_asked_for(source: Path, url: str) -> None:
    status, out, errors = await command(
        "run", f"{source}:Tables", "--credential", f"base_url={url}", "--refuse-private"
    )
    assert (status, out) == (1, "")
    assert "127.0.0.1 is a loopback address" in one_message(errors)


@pytest.mark.parametrize("how", ["flag", "environment"])
async def test_source_and_upload_go_through_a_proxy(how: str, source: Path, url: str) -> None:
    async with FakeWorkspace(api_key="key-of-the-workspace") as workspace, proxy_server() as proxy:
        integration_id = workspace.create_integration("tables")
        status, _, errors = await command(
            *("run", f"{source}:Tables", "--credential", f"base_url={url}", "--upload"),
            *("--integration-id", integration_id, "--base-url", workspace.url),
            *(("--proxy", proxy.url) if how == "flag" else ("--trust-env",)),
            env={"SECODA_API_KEY": "key-of-the-workspace", "http_proxy": proxy.url, "no_proxy": "", "NO_PROXY": ""},
        )
        assert status == 0, errors
        assert len(workspace.syncs(integration_id)) == 1
    asked = [line.split(" ")[1] for line in proxy.lines]
    assert any(target.startswith(f"{url}/tables/") for target in asked)
    assert any(target.startswith(workspace.url) and target.endswith("/import_jsonl_metadata/") for target in asked)


async def test_a_ca_file_is_what_certificates_are_checked_against(
    source: Path, tls: ssl.SSLContext, ca_file: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"path": request.path})

    async with serve(answer, ssl_context=tls) as url:
        arguments = ("run", f"{source}:Tables", "--credential", f"base_url={url}")
        status, _, errors = await command(*arguments)
        assert status == 1
        assert "--ca-file" in one_message(errors)
        status, out, _ = await command(*arguments, "--ca-file", ca_file)
        assert (status, len(out.splitlines())) == (0, 20)


async def test_a_file_that_cannot_be_imported_is_one_message_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nowhere_at_all\n")
    status, _, errors = await command("run", f"{path}:X")
    assert status == 2
    assert "nowhere_at_all" in one_message(errors)
    assert "broken.py:1" in one_message(errors)


async def test_a_users_line_is_named_where_their_folder_bears_the_packages_name(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "secoda_async"
    folder.mkdir()
    await anyio.Path(source).rename(folder / "source.py")
    _, _, errors = await command("run", f"{folder / 'source.py'}:Bug", "--credential", "base_url=http://127.0.0.1:1")
    assert f"KeyError: 'data', in extract at {folder / 'source.py'}:" in one_message(errors)


async def test_an_unreachable_host_is_one_message(source: Path) -> None:
    status, _, errors = await command("run", f"{source}:Tables", "--credential", "base_url=http://127.0.0.1:1")
    assert status == 1
    assert "http://127.0.0.1:1/tables/" in one_message(errors)
    assert "Connection refused" in one_message(errors)


async def test_a_wrong_api_key_is_told_before_the_crawl_and_never_shown(source: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("wrong-key-geheim\n")
    async with FakeWorkspace(api_key="right") as workspace:
        integration_id = workspace.create_integration("tables")
        status, _, errors = await command(
            *("run", f"{source}:Tables", "--credential", "base_url=http://127.0.0.1:1", "--upload", "--debug"),
            *("--integration-id", integration_id, "--base-url", workspace.url, "--api-key-file", key),
        )
    assert status == 1
    assert "401" in errors
    assert "check the API key" in errors
    assert "geheim" not in errors


async def test_debug_shows_the_traceback(source: Path, url: str) -> None:
    status, _, errors = await command("run", f"{source}:Bug", "--credential", f"base_url={url}", "--debug")
    assert status == 1
    assert errors.count("Traceback (most recent call last)") == 1
    assert "KeyError: 'data'" in errors


async def test_credentials_come_from_a_file_and_the_command_wins(source: Path, url: str, tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    path.write_bytes(orjson.dumps({"base_url": "http://127.0.0.1:1", "count": "3"}))
    status, out, _ = await command(
        "run", f"{source}:Tables", "--credentials-file", path, "--credential", f"base_url={url}"
    )
    assert (status, len(out.splitlines())) == (0, 3)


async def test_plain_lines_tell_of_progress_where_there_is_no_terminal(source: Path, url: str) -> None:
    status, _, errors = await command(
        "run", f"{source}:Fails", "--credential", f"base_url={url}", "--credential", "token=geheim"
    )
    assert status == 1
    assert f"INFO GET {url}/fails?token=[redacted] gave 500, attempt 1" in errors
    assert "\x1b[" not in errors


async def test_a_closed_pipe_is_one_message_and_no_complaint_of_the_interpreter(source: Path, url: str) -> None:
    run = shlex.join([COMMAND, "run", f"{source}:Endless", "--credential", f"base_url={url}"])
    with anyio.fail_after(60):
        done = await anyio.run_process(["bash", "-c", f"{run} | head -n 1; exit ${{PIPESTATUS[0]}}"], check=False)
    errors = done.stderr.decode()
    assert (done.returncode, done.stdout.count(b"\n")) == (1, 1)
    assert "standard output was closed by its reader" in one_message(errors)
    assert "Exception ignored" not in errors


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("to", ["files", "a reader that has stopped reading"])
async def test_a_signal_is_one_message_and_its_exit_status(
    number: signal.Signals, status: int, to: str, source: Path, url: str, tmp_path: Path
) -> None:
    out: list[Any] = ["--out", tmp_path / "out"] if to == "files" else []
    with started([COMMAND, "run", f"{source}:Endless", "--credential", f"base_url={url}", *out]) as process:
        spool = tmp_path / "state" / "runs"
        with anyio.fail_after(60):
            # Enough that a pipe nobody reads, of 64 KiB, is full.
            while not any(path.stat().st_size > 100_000 for path in spool.glob("*/resources.jsonl")):  # noqa: ASYNC110 # another process's file
                await anyio.sleep(0.05)
        process.send_signal(number)
        assert process.stderr is not None
        with anyio.fail_after(30):
            errors = (await anyio.to_thread.run_sync(process.stderr.read, abandon_on_cancel=True)).decode()
    assert process.returncode == status
    assert "nothing was delivered" in one_message(errors)
    if out:
        assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["run.failed.json"]


async def test_version_and_help_are_there() -> None:
    import secoda_async

    assert await command("--version") == (0, f"{secoda_async.__version__}\n", "")
    status, out, _ = await command("run", "--help")
    assert status == 0
    for option in ("--credential", "--credential-env", "--credentials-file", "--out", "--upload", "--debug"):
        assert option in out
