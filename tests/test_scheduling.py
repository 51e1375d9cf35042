"""The recipes for schedulers: the script runs, the rest is parsed, and each command in them is one that there is."""

import ast
import io
import os
import re
import shlex
from pathlib import Path
from typing import Any

import anyio
import pytest
import typer.main
import yaml
from dockerfile_parse import DockerfileParser

from secoda_async.cli.app import app
from secoda_async.testing import FakeWorkspace
from tests.command_line import COMMAND, command
from tests.markdown import ROOT

RECIPES = ROOT / "examples" / "scheduling"
CLICK = typer.main.get_command(app)


def understood(line: str) -> dict[str, Any]:
    """The options of a command line, as the real command reads them. Raises where it does not."""
    name, *arguments = shlex.split(line)[1:]
    return CLICK.commands[name].make_context(name, arguments).params  # type: ignore[attr-defined]


async def test_the_script_uploads_one_sync_and_hands_the_status_on(tmp_path: Path) -> None:
    await command("init", "warehouse", cwd=tmp_path)
    folder = tmp_path / "warehouse"
    (folder / "credentials.json").write_text('{"token": "geheim"}')
    async with FakeWorkspace(api_key="key") as workspace:
        integration_id = workspace.create_integration("warehouse")

        async def nightly(*options: str) -> tuple[int, str]:
            done = await anyio.run_process(
                [str(RECIPES / "nightly.sh"), "warehouse.py:Warehouse", integration_id, *options],
                cwd=folder,
                check=False,
                env={
                    **os.environ,
                    "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}",
                    "CREDENTIALS_FILE": "credentials.json",
                    "SECODA_API_KEY": "key",
                    "SECODA_ASYNC_REPLAY": "warehouse.journal",
                },
            )
            return done.returncode, done.stderr.decode()

        status, said = await nightly("--base-url", workspace.url, "--quiet")
        assert (status, said) == (0, "")
        assert len(workspace.resources(integration_id)) == 19
        assert [path.suffix for path in (folder / "reports").iterdir()] == [".json"]  # a few files
        status, said = await nightly("--base-url", "http://127.0.0.1:9", "--quiet", "--set", "retry=1")
        assert (status, "failed with status 1, and delivered nothing" in said) == (1, True)
        assert len(workspace.syncs(integration_id)) == 1


def test_the_crontab_has_five_fields_and_a_command_of_the_script() -> None:
    *settings, job = [line for line in (RECIPES / "crontab").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z_]+=\S+", line) for line in settings)
    fields = job.split(maxsplit=5)
    assert all(re.fullmatch(r"\*|\d+", field) for field in fields[:5])
    words = shlex.split(fields[5])
    assert words[words.index("./nightly.sh") + 1] == "warehouse.py:Warehouse"
    assert "%" not in fields[5]  # which cron takes for the end of a line


def test_the_workflow_runs_one_sync_at_a_time_with_secrets_by_the_environment() -> None:
    workflow = yaml.safe_load((RECIPES / "github-actions.yml").read_text())
    assert workflow[True]["schedule"] == [{"cron": "15 3 * * *"}]  # YAML 1.1 takes `on` for true
    assert workflow["concurrency"]["group"]
    steps = workflow["jobs"]["sync"]["steps"]
    [run] = [step for step in steps if "secoda-async run" in step.get("run", "")]
    given = understood(run["run"].replace("${{ vars.SECODA_INTEGRATION_ID }}", "4f6c"))
    assert (given["upload"], given["integration_id"]) == (True, "4f6c")
    [variable] = [text.partition("=")[2] for text in given["credential_env"]]
    assert {variable, "SECODA_API_KEY"} == set(run["env"])
    assert "secrets." not in run["run"]


def test_the_dag_starts_the_command_with_secrets_by_the_environment() -> None:
    tree = ast.parse((RECIPES / "airflow_dag.py").read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = {node.func.id: node for node in found if isinstance(node.func, ast.Name)}
    keywords = {one.arg: one.value for one in calls["BashOperator"].keywords}
    given = understood(ast.literal_eval(keywords["bash_command"]))
    [variable] = [text.partition("=")[2] for text in given["credential_env"]]
    assert {variable, "SECODA_API_KEY"} == set(ast.literal_eval(keywords["env"]))
    assert {one.arg: ast.literal_eval(one.value) for one in calls["DAG"].keywords if one.arg == "max_active_runs"} == {
        "max_active_runs": 1
    }


def test_the_container_runs_the_command_as_nobody_special_and_keeps_its_state() -> None:
    parser = DockerfileParser(fileobj=io.BytesIO((RECIPES / "Containerfile").read_bytes()))
    steps = {step["instruction"]: step["value"] for step in parser.structure}
    assert steps["USER"] == "crawler"
    assert steps["VOLUME"] == "/app/.secoda-async"
    line = [*ast.literal_eval(steps["ENTRYPOINT"]), *ast.literal_eval(steps["CMD"])]
    assert understood(shlex.join(line))["upload"] is True


@pytest.mark.parametrize("page", ["scheduling.md"])
def test_the_page_names_every_recipe(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert all(f"examples/scheduling/{path.name})" in text for path in RECIPES.iterdir())
