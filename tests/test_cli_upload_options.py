"""What the command line says of a workspace is refused before anything is imported or asked, where it cannot be."""

from collections.abc import Sequence

import pytest
from typer.testing import CliRunner

from secoda_async.cli.app import app
from secoda_async.cli.workspace import workspace_name, workspace_sink

KEY = "key-of-the-workspace"
UPLOAD = ["--upload", "--integration-id", "4f0c"]


def refused(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SECODA_API_KEY", KEY)
    result = CliRunner().invoke(app, ["run", "no_such_module:Source", *arguments])
    assert result.exit_code == 2
    assert KEY not in result.output
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*UPLOAD, "--batched"], "--batched needs --staling-is-off"),
        ([*UPLOAD, "--base-url", "mars"], "us, eu, apac"),
        ([*UPLOAD, "--base-url", "http://catalog.example"], "--insecure-http"),
        ([*UPLOAD, "--stale-limit", "20%"], "--stale-limit must be"),
        ([*UPLOAD, "--stale-limit", "20"], "from 0 to 1"),
        (["--upload"], "--integration-id"),
        (["--batched"], "--batched belongs to --upload"),
        (["--staling-is-off"], "--staling-is-off belongs to --upload"),
        (["--insecure-http"], "--insecure-http belongs to --upload"),
        (["--base-url", "eu"], "--base-url belongs to --upload"),
        (["--allow-stale", "table"], "--allow-stale belongs to --upload"),
        (["--allow-empty"], "--allow-empty belongs to --upload"),
        (["--stale-limit", "0.5"], "--stale-limit belongs to --upload"),
        (["--first-sync", "--out", "x"], "--first-sync belongs to --upload"),
        (["--against", "last"], "--against belongs to --upload"),
    ],
)
def test_options_that_cannot_be_used_are_wrong_usage(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said in refused(arguments, monkeypatch)


def test_a_sink_is_named_by_what_it_does_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECODA_API_KEY", KEY)
    sink = workspace_sink(integration_id="4f0c", base_url="EU", network={})
    assert workspace_name(sink) == "one sync to integration 4f0c at https://eapi.secoda.co"
    split = workspace_sink(integration_id="4f0c", staling_is_off=True, batched=True, network={})
    assert "requests that remove nothing" in workspace_name(split)
