"""Mistakes that users make: each ends in one message that says what to do next, and in an exit status.

The commands run in this process, since there are many; what is one of a process is tested in test_cli.py.
"""

import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secoda_async.cli.app import app

SOURCE = """
from secoda_async import EntityType, Input, RateLimit, Resource, SecodaIntegration


class Fine(SecodaIntegration):
    inputs = {"base_url": Input(secret=False, required=False), "token": Input(required=False)}

    async def extract(self):
        await self.declare_resource(Resource(entity_type="database", databuilder_id="d", title="d"))


class NeedsToken(Fine):
    inputs = {"token": Input()}


class NotAsync(Fine):
    def extract(self):
        return None


class NoExtract(SecodaIntegration):
    pass


class Other:
    pass


class BadLimit(Fine):
    rate_limits = {"https://a.example": RateLimit(1)}


class Unreachable(Fine):
    retry = None

    async def extract(self):
        await self.http_get("http://127.0.0.1:9/x")


class Relative(Fine):
    async def extract(self):
        await self.http_get("/x")


class Bug(Fine):
    async def extract(self):
        {}["name"]


class Exits(Fine):
    async def extract(self):
        raise SystemExit(0)


class Forgets(Fine):
    async def extract(self):
        self.http_get("http://127.0.0.1:9/x")


class Swallows(Unreachable):
    async def extract(self):
        try:
            await super().extract()
        except Exception:
            pass


class DeclaresADict(Fine):
    async def extract(self):
        await self.declare_resource({"entity_type": "table"})


class BareTable(Fine):
    async def extract(self):
        await self.declare_resource(Resource(entity_type="table", databuilder_id="t", title="t"))


class Streams(Fine):
    async def extract(self):
        async with self.http_stream("GET", "/x"):
            pass
"""
FILES = {
    "source.py": SOURCE,
    "broken.py": "def broken(:\n",
    "imports.py": "import no_such_package\n",
    "exits.py": "import sys\nsys.exit('not set up')\n",
    "broken.json": '{"token": ',
    "list.json": "[1]",
    "broken.journal": "no journal",
    "a_file": "x",
    "empty/readme": "",
    "half/resources.jsonl": "",
    "wrong/resources.jsonl": '{"entity_type": "table"}\n',
    "wrong/lineage.jsonl": "",
    "twice/resources.jsonl": '{"entity_type": "database", "databuilder_id": "d", "title": "a"}\n'
    '{"entity_type": "database", "databuilder_id": "d", "title": "b"}\n',
    "twice/lineage.jsonl": "",
    "report.json": "{}",
    "config/pyproject.toml": "[tool.secoda-async]\nspeed = 3\n",
}
RUN, FINE, UPLOAD = "run source.py:", "run source.py:Fine ", "run source.py:Fine --upload --integration-id x "
KEY = {"SECODA_API_KEY": "key"}
NONE: dict[str, str] = {}
MISTAKES: list[tuple[str, dict[str, str], int, str]] = [
    # The target.
    ("run source.py", NONE, 2, "'source.py' names no class; write MODULE:CLASS or FILE.py:CLASS"),
    ("run source.py:", NONE, 2, "write MODULE:CLASS or FILE.py:CLASS"),
    ("run nosuch.py:X", NONE, 2, "there is no file nosuch.py; give the path of the integration's file"),
    ("run nosuch:X", NONE, 2, "there is no module 'nosuch'; for a file write its path with .py"),
    (f"{RUN}Missing", NONE, 2, "source.py has no class Missing; it has BadLimit, BareTable, Bug"),
    (f"{RUN}Other", NONE, 2, "Other in source.py is no subclass of SecodaIntegration"),
    (f"{RUN}NoExtract", NONE, 2, "has no extract(); write `async def extract(self)` in it"),
    (f"{RUN}NotAsync", NONE, 2, "NotAsync.extract must be asynchronous: write `async def extract(self)`"),
    ("run broken.py:X", NONE, 2, "SyntaxError: invalid syntax (broken.py, line 1)"),
    ("run imports.py:X", NONE, 2, "No module named 'no_such_package', in <module> at {here}/imports.py:1; install"),
    ("run exits.py:X", NONE, 2, "sys.exit('not set up') was called"),
    # Credentials.
    (f"{RUN}NeedsToken", NONE, 2, "the credential 'token' is missing. Give it with --credential token=VALUE"),
    (f"{RUN}NeedsToken --credential geheim", NONE, 2, "--credential must be NAME=VALUE"),
    (f"{RUN}NeedsToken --credential tokn=1", NONE, 2, "no such credential: tokn; this integration takes token"),
    (f"{RUN}NeedsToken --credential-env token=NO_VAR", NONE, 2, "the environment has no variable NO_VAR"),
    (f"{RUN}NeedsToken --credentials-file broken.json", NONE, 2, "is not JSON (line"),
    (f"{RUN}NeedsToken --credentials-file list.json", NONE, 2, 'must hold one JSON object: {{"name": "value"}}'),
    (f"{RUN}NeedsToken --credentials-file nosuch.json", NONE, 2, "nosuch.json cannot be read: No such file"),
    # Where the run ends.
    (f"{FINE}--out out --upload", NONE, 2, "give --out or --upload, not both"),
    (f"{FINE}--upload", NONE, 2, "--upload needs --integration-id; Secoda shows it in the integration's URL"),
    (UPLOAD, NONE, 2, "an upload needs an API key: SECODA_API_KEY, --api-key-file"),
    (f"{UPLOAD}--api-key-file nosuch", NONE, 2, "--api-key-file nosuch cannot be read"),
    (f"{UPLOAD}--base-url mars", KEY, 2, "not 'mars'; or one of us, eu, apac"),
    (f"{UPLOAD}--base-url http://example.com", KEY, 2, "write https://, or allow it with --insecure-http"),
    ("run source.py:Fine --upload --integration-id ../x", KEY, 2, "must be the id of an integration, not '../x'"),
    (f"{UPLOAD}--batched", KEY, 2, "--batched needs --staling-is-off"),
    (f"{UPLOAD}--stale-limit lots", KEY, 2, "must be SHARE or TYPE=SHARE, such as 0.1 or column=0.5"),
    (f"{UPLOAD}--stale-limit 1.5", KEY, 2, "share must be a number from 0 to 1"),
    (f"{FINE}--integration-id x", NONE, 2, "--integration-id belongs to --upload; add that, or leave"),
    (f"{FINE}--allow-stale table", NONE, 2, "--allow-stale belongs to --upload; add that, or leave"),
    (f"{FINE}--out a_file", NONE, 1, "the folder a_file cannot be written"),
    (f"{FINE}--report no/such/r.json", NONE, 2, "--report: there is no folder no/such; make it"),
    (f"{FINE}--json", NONE, 2, "add --out or --upload, or use --report FILE"),
    # Settings.
    (f"{FINE}--concurrency 0", NONE, 2, "not 0 (concurrency is from --concurrency)"),
    (f"{FINE}--set speed", NONE, 2, "--set must be NAME=VALUE, such as timeout=30, not 'speed'"),
    (f"{FINE}--set speed=9", NONE, 2, "--set: there is no setting 'speed'; the settings are"),
    (FINE, {"SECODA_ASYNC_TIMEOUTS": "3"}, 2, "SECODA_ASYNC_TIMEOUTS: there is no setting 'timeouts'; did you mean"),
    (FINE, {"SECODA_ASYNC_STRICT": "maybe"}, 2, "SECODA_ASYNC_STRICT: strict must be true or false, not 'maybe'"),
    (f"{FINE}--proxy socks://x", NONE, 2, "proxy must be http://host:port"),
    (f"{FINE}--ca-file nosuch.pem", NONE, 2, "--ca-file: there is no file nosuch.pem"),
    (f"{RUN}BadLimit", NONE, 2, "'https://a.example' is no host; use a host, host:port"),
    # Recordings and earlier runs.
    (f"{FINE}--replay nosuch.journal", NONE, 2, "there is no recording nosuch.journal; run with --record"),
    (f"{FINE}--replay broken.journal", NONE, 2, "file is not a database; record it again, or take another"),
    (f"{FINE}--replay x --record y", NONE, 2, "replay asks no source, so record cannot be given with it"),
    (f"{FINE}--resume nosuch", NONE, 2, "resume: there is no run 'nosuch'"),
    ("report nosuch", NONE, 2, "Run an integration first, or give --state-dir"),
    ("report report.json", NONE, 2, "report.json is no report of a run that this version reads (run: Field required)"),
    ("endpoints source.py:Fine", NONE, 2, "declare them, or run or check it, and list what it asked"),
    # The integration's own code.
    (f"{RUN}Unreachable", NONE, 1, "cannot connect (Connection refused); check the URL, and that the server runs"),
    (f"{RUN}Relative", NONE, 1, "a relative URL needs a base_url; set it on the class or in the constructor"),
    (f"{RUN}Bug", NONE, 1, "KeyError: 'name', in extract at {here}/source.py:"),
    (f"{RUN}Exits", NONE, 1, "sys.exit(0) was called, in extract at {here}/source.py:"),
    (f"{RUN}Forgets", NONE, 1, "1 http_* calls were never awaited, or cancelled before they began"),
    (f"{RUN}Swallows", NONE, 1, "pass optional=True, or run it with --allow-losses"),
    (f"{RUN}DeclaresADict", NONE, 1, "declare_resource takes a Resource, not dict"),
    (f"{RUN}BareTable --strict --out out", NONE, 3, "a table has no schema or no database"),
    ("check source.py:Unreachable", NONE, 1, "check the URL, and that the server runs"),
    ("check source.py:Fine --base-url us", NONE, 2, "add --integration-id, or leave --base-url out"),
    # Files of records.
    ("validate nosuch", NONE, 2, "there is no folder nosuch; give one with both JSONL files, or a run's"),
    ("validate empty", NONE, 2, "empty holds no resources.jsonl; give a folder with both JSONL files"),
    ("validate half", NONE, 2, "half holds no lineage.jsonl; give a folder with both JSONL files"),
    ("validate wrong", NONE, 3, "to do: write one JSON object a line"),
    ("validate twice", NONE, 3, "choose which one counts: on_conflict (--on-conflict) first or last"),
    ("diff twice empty", NONE, 2, "empty holds no resources.jsonl"),
    ("upload empty --integration-id x", KEY, 2, "empty holds no resources.jsonl"),
    ("upload twice --integration-id x", NONE, 2, "an upload needs an API key: SECODA_API_KEY"),
    # The other commands.
    ("bench source.py:Fine", NONE, 2, "--journal is missing. Record one with: secoda-async run source.py:Fine"),
    ("bench source.py:Fine --journal x --latency soon", NONE, 2, "must be a time such as 100ms or 0.5s"),
    ("bench source.py:Fine --journal x --concurrency 0", NONE, 2, "must be numbers of 1 or more and `adaptive`"),
    ("compare source.py:Fine source.py:Nope", NONE, 2, "NEW (source.py:Nope): source.py has no class Nope"),
    ("compare source.py:Fine source.py:Fine --recording no", NONE, 2, "leave it out, and OLD is recorded first"),
    ("compile source.py:Streams", NONE, 2, "self.http_stream: a stream needs an event loop; read the whole body"),
    ("compile broken.py:X", NONE, 2, "broken.py is no Python: invalid syntax (broken.py, line 1)"),
    ("init 1st", NONE, 2, "write letters, digits, - and _, a letter first; choose another name"),
    ("init empty", NONE, 2, "empty exists; choose another name"),
    # What the command line itself refuses.
    ("frobnicate", NONE, 2, "No such command 'frobnicate'"),
    (f"{FINE}--frobnicate", NONE, 2, "No such option"),
    (f"{FINE}--concurrency many", NONE, 2, "Invalid value for '--concurrency'"),
    ("diff twice", NONE, 2, "Missing argument 'B'"),
    ("upload twice", NONE, 2, "Missing option '--integration-id'"),
    ("dev --port 99999", NONE, 2, "Invalid value for '--port'"),
]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    for name in [*os.environ]:
        if name.startswith("SECODA"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_the_table_has_at_least_sixty_mistakes_and_each_command() -> None:
    assert len({line for line, *_ in MISTAKES}) >= 60
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert {line.split()[0] for line, *_ in MISTAKES} >= commands


@pytest.mark.filterwarnings("ignore:.*never awaited", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("line", "environment", "status", "said"), MISTAKES, ids=[one[0] for one in MISTAKES])
def test_a_mistake_ends_in_one_message_that_says_what_to_do(
    line: str, environment: dict[str, str], status: int, said: str, here: Path
) -> None:
    result = CliRunner().invoke(app, line.split(), env={**environment, "COLUMNS": "300", "TERM": "dumb"})
    told = result.stderr + (result.stdout if "validate" in line else "")
    assert said.format(here=here) in " ".join(told.split()) or said.format(here=here) in told
    assert result.exit_code == status
    assert "Traceback" not in told
    assert "geheim" not in told
    assert [one for one in told.splitlines() if one.startswith("error: ")][1:] == []
