"""``secoda-async check``: whether credentials and endpoints work, by a small part of a run."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from typing_extensions import override

from secoda_async.cli.credentials import read_credentials
from secoda_async.cli.failure import ExitStatus, exit_status, show_error
from secoda_async.cli.options import (
    Assignments,
    CaFile,
    CredentialEnv,
    CredentialPair,
    CredentialsFile,
    Debug,
    Proxy,
    Quiet,
    StateDir,
    TargetClass,
    TrustEnv,
    given,
    network_settings,
)
from secoda_async.cli.progress import shown
from secoda_async.cli.progress_rows import RunRows
from secoda_async.cli.settings_sources import apply_settings, find_settings, of_network
from secoda_async.cli.show_check import REFUSALS, show_check
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.terminal import Terminal
from secoda_async.cli.workspace import ApiKeyFile, BaseUrl, InsecureHttp, workspace_name, workspace_sink
from secoda_async.errors import ConfigurationError, RequestBudgetError
from secoda_async.load import load_integration
from secoda_async.pipeline.sink import RunInfo, Sink
from secoda_async.redact import Redactor
from secoda_async.report import RunReport
from secoda_async.spool import Spool

_BUDGET: Final = RequestBudgetError.__name__


def check(  # noqa: PLR0917 # typer reads the options off the parameters
    target: TargetClass,
    credential: CredentialPair = None,
    credential_env: CredentialEnv = None,
    credentials_file: CredentialsFile = None,
    items: Annotated[
        int, typer.Option(min=1, metavar="N", help="Items to take of each for_each and map; of a listing, one page.")
    ] = 3,
    max_requests: Annotated[
        int, typer.Option(min=1, metavar="N", help="Requests after which it stops, however the integration asks.")
    ] = 200,
    integration_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Ask the workspace too: whether it takes the key and has this integration."),
    ] = None,
    base_url: BaseUrl = None,
    api_key_file: ApiKeyFile = None,
    insecure_http: InsecureHttp = False,
    state_dir: StateDir = None,
    proxy: Proxy = None,
    trust_env: TrustEnv = False,
    ca_file: CaFile = None,
    assignments: Assignments = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run's report as JSON.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Try an integration on a small part of its source, and deliver nothing. Exit status 0: whatever it asked works.

    It asks for the first page of each listing and for a few items of it. Exit status 5: the source answered with a 401
    or 403, although extract() went on.
    """
    console = Terminal(stderr=True)
    redact = Redactor()
    try:
        settings = find_settings(
            network_settings(proxy, trust_env, ca_file)
            | given(state_dir=state_dir, sample=items, max_requests=max_requests),
            assignments or (),
        )
        workspace = given(base_url=base_url, api_key_file=api_key_file, insecure_http=insecure_http or None)
        if integration_id is None and workspace:
            option = f"--{next(iter(workspace)).replace('_', '-')}"
            raise ConfigurationError(f"{option} is about the workspace; add --integration-id, or leave {option} out")
        sink = _Nowhere()
        asked = ""
        if integration_id is not None:
            door = workspace_sink(integration_id=integration_id, **workspace, network=of_network(settings))
            sink, asked = _Nowhere(door), workspace_name(door)
        found = load_integration(target)
        credentials = read_credentials(credential or (), credential_env or (), credentials_file, found.inputs)
        redact = Redactor.of(credentials, found.inputs)
        integration = found(credentials=credentials)
        apply_settings(integration, settings)
    except (Exception, SystemExit) as error:  # noqa: BLE001 # importing a user's file may raise anything
        show_error(error, console, redact, debug=debug)
        raise typer.Exit(ExitStatus.USAGE) from None
    failure: BaseException | None = None
    try:
        with shown(RunRows(integration), console, debug=debug, quiet=quiet):
            integration.start(sink)
    except BaseException as error:  # noqa: BLE001 # shown below; extract() may raise anything
        failure = error
    report = integration.report
    stopped = report is not None and _is_stopped(failure, report)
    if report is not None:
        if as_json:
            print_document(report.model_dump_json(indent=2))
        elif not quiet:
            show_check(
                report, Terminal(highlight=False), workspace=asked, stopped_after=max_requests if stopped else None
            )
    if failure is not None and not stopped:
        show_error(failure, console, redact, debug=debug)
        raise typer.Exit(exit_status(failure))
    if report is not None and any(REFUSALS & one.statuses.keys() for one in report.source.endpoints):
        raise typer.Exit(ExitStatus.FINDINGS)


class _Nowhere(Sink):
    """Delivers nothing; ``door`` is a sink that is asked whether it could."""

    def __init__(self, door: Sink | None = None) -> None:
        self._door = door

    @override
    async def open(self, run: RunInfo) -> None:
        if self._door is not None:
            await self._door.open(run)

    @override
    async def commit(self, spool: Spool) -> None:
        raise AssertionError("a sample is never delivered")

    @override
    async def abort(self, error: BaseException) -> None:
        return


def _is_stopped(failure: BaseException | None, report: RunReport) -> bool:
    """Whether nothing but the bound on requests has ended the run."""
    # Of many losses only the first are kept; those of the bound come last.
    return failure is not None and bool(report.losses) and all(loss.error == _BUDGET for loss in report.losses)
