"""``secoda-async run``: extract, and deliver all of it or nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from secoda_async.cli.credentials import read_credentials
from secoda_async.cli.failure import ExitStatus, exit_status, show_error
from secoda_async.cli.guard import (
    Against,
    AllowEmpty,
    AllowStale,
    FirstSync,
    StaleLimit,
    guard_settings,
)
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
    Strict,
    TargetClass,
    TrustEnv,
    given,
    network_settings,
)
from secoda_async.cli.progress import shown
from secoda_async.cli.progress_rows import RunRows
from secoda_async.cli.settings_sources import Found, apply_settings, find_settings, of_network
from secoda_async.cli.show_settings import settings_json, show_settings
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.summary import show_summary
from secoda_async.cli.terminal import Terminal
from secoda_async.cli.validate import OnConflictOption
from secoda_async.cli.workspace import (
    ApiKeyFile,
    BaseUrl,
    Batched,
    InsecureHttp,
    StalingIsOff,
    workspace_name,
    workspace_sink,
)
from secoda_async.errors import ConfigurationError, OutputError, RulesError
from secoda_async.integration import SecodaIntegration
from secoda_async.load import load_integration
from secoda_async.pipeline.sink import Sink
from secoda_async.redact import Redactor
from secoda_async.report import Delivery, RunReport, Status, write_report
from secoda_async.run_journal import keeps_journal
from secoda_async.sinks.jsonl import JSONLSink
from secoda_async.sinks.stdout import StdoutSink
from secoda_async.spool import is_complete, resolve_state_dir


def run(  # noqa: PLR0912, PLR0917 # typer reads the options off the parameters
    target: TargetClass,
    credential: CredentialPair = None,
    credential_env: CredentialEnv = None,
    credentials_file: CredentialsFile = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write resources.jsonl, lineage.jsonl and run.json there. Default: print lines."
        ),
    ] = None,
    upload: Annotated[bool, typer.Option("--upload", help="Upload one complete sync to a Secoda workspace.")] = False,
    integration_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The workspace's id of this integration; with --upload.")
    ] = None,
    base_url: BaseUrl = None,
    api_key_file: ApiKeyFile = None,
    insecure_http: InsecureHttp = False,
    staling_is_off: StalingIsOff = False,
    batched: Batched = False,
    state_dir: StateDir = None,
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", help="Requests in flight at once to one host. Default: found out.")
    ] = None,
    allow_losses: Annotated[
        bool,
        typer.Option(
            "--allow-losses",
            help="Deliver although something was lost. Secoda removes what is missing from an upload. Exit status 6.",
        ),
    ] = False,
    allow_stale: AllowStale = None,
    allow_empty: AllowEmpty = False,
    stale_limit: StaleLimit = None,
    first_sync: FirstSync = False,
    against: Against = None,
    strict: Strict = False,
    on_conflict: OnConflictOption = None,
    proxy: Proxy = None,
    trust_env: TrustEnv = False,
    ca_file: CaFile = None,
    refuse_private: Annotated[
        bool, typer.Option("--refuse-private", help="Refuse to ask loopback, private and other not public addresses.")
    ] = False,
    enforce_endpoints: Annotated[
        bool,
        typer.Option("--enforce-endpoints", help="Refuse requests to what the integration's endpoints do not name."),
    ] = False,
    resumable: Annotated[
        bool, typer.Option("--resumable", help="Keep what the source answers, so that --resume can continue this run.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Continue the run with this id, or the last one, which died or failed."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write what the source answered to a file, for --replay and bench."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Answer every request from a recording, without a network.")
    ] = None,
    conditional: Annotated[
        bool,
        typer.Option("--conditional", help="Ask only for what has changed since the last run that kept its answers."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the run's report there, as JSON, however the run ends.")
    ] = None,
    assignments: Assignments = None,
    list_settings: Annotated[
        bool, typer.Option("--show-settings", help="Show every setting, its value and where that is from, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the run's report as JSON; with --out or --upload.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run an integration. Exit status 0 means: all of it was extracted and delivered."""
    console = Terminal(stderr=True)
    redact = Redactor()
    try:
        if report is not None and not report.parent.is_dir():
            raise ConfigurationError(f"--report: there is no folder {report.parent}; make it")
        if str(credentials_file) == str(api_key_file) == "-":
            raise ConfigurationError("--credentials-file and --api-key-file cannot both be standard input")
        if as_json and not (upload or out is not None or list_settings):
            raise ConfigurationError(
                "--json would be mixed with the records on standard output; add --out or --upload, or use --report FILE"
            )
        workspace = given(
            integration_id=integration_id,
            base_url=base_url,
            api_key_file=api_key_file,
            insecure_http=insecure_http or None,
            staling_is_off=staling_is_off or None,
            batched=batched or None,
        )
        guard = guard_settings(
            allow_stale=allow_stale,
            allow_empty=allow_empty,
            stale_limit=stale_limit,
            first_sync=first_sync,
            against=against,
        )
        if not upload:
            _refuse_without_upload([*workspace, *guard])
        settings = find_settings(
            network_settings(proxy, trust_env, ca_file)
            | guard
            | given(
                state_dir=state_dir,
                concurrency=concurrency,
                allow_losses=allow_losses or None,
                strict=strict or None,
                on_conflict=on_conflict,
                resumable=resumable or None,
                resume=resume,
                record=record,
                replay=replay,
                conditional=conditional or None,
                enforce_endpoints=enforce_endpoints or None,
                refuse_private=refuse_private or None,
            ),
            assignments or (),
        )
        sink, delivered_to = _sink(out, upload, workspace, settings)
        found = load_integration(target)
        credentials = read_credentials(credential or (), credential_env or (), credentials_file, found.inputs)
        redact = Redactor.of(credentials, found.inputs)
        integration = found(credentials=credentials)
        apply_settings(integration, settings)
    except (Exception, SystemExit) as error:  # noqa: BLE001 # importing a user's file may raise anything
        show_error(error, console, redact, debug=debug)
        raise typer.Exit(ExitStatus.USAGE) from None
    if list_settings:
        if as_json:
            print_document(settings_json(integration))
        else:
            show_settings(integration, Terminal(highlight=False))
        return
    failure = _start(integration, sink, console, debug=debug, quiet=quiet)
    unwritten = _write(integration.report, report)
    if integration.report is not None:
        if as_json:
            print_document(integration.report.model_dump_json(indent=2))
        if not quiet and not (failure is not None and exit_status(failure) is ExitStatus.USAGE):
            show_summary(integration.report, console, delivered_to=delivered_to)
    if failure is not None:
        where = given(integration_id=integration_id, base_url=base_url, state_dir=state_dir) if upload else {}
        _show_failure(integration, failure, console, redact, debug=debug, upload=where)
    if unwritten is not None:
        show_error(unwritten, console, redact, debug=debug)
    raise typer.Exit(_exit_status(integration, failure or unwritten))


def _show_failure(
    integration: SecodaIntegration,
    failure: BaseException,
    console: Console,
    redact: Redactor,
    *,
    debug: bool,
    upload: Mapping[str, object],
) -> None:
    delivery = integration.report.delivery if integration.report is not None else Delivery.NOTHING
    show_error(failure, console, redact, debug=debug, delivery=delivery)
    run_id = integration.report.run if integration.report is not None else ""
    if delivery is not Delivery.DELIVERED:
        _show_way_on(integration, run_id, failure, console, upload)


def _exit_status(integration: SecodaIntegration, failure: BaseException | None) -> ExitStatus:
    if failure is not None:
        return exit_status(failure)
    report = integration.report
    if report is not None and report.status is Status.DEGRADED:
        return ExitStatus.DEGRADED
    if report is not None and integration.settings.strict and (report.findings or report.breaches):
        return ExitStatus.FINDINGS
    return ExitStatus.COMPLETE


def _write(report: RunReport | None, path: Path | None) -> OutputError | None:
    """Write the report where it is asked for, and return what kept it from being written."""
    if report is not None and path is not None:
        try:
            write_report(report, path)
        except OutputError as error:
            return error
    return None


def _show_way_on(
    integration: SecodaIntegration, run_id: str, failure: BaseException, console: Console, upload: Mapping[str, object]
) -> None:
    """What there is of a run that was not delivered, so that it need not crawl all over again.

    ``upload`` holds the options that say where it was to be uploaded; none where it was not.
    """
    directory = resolve_state_dir(integration.settings.state_dir) / "runs" / run_id
    if run_id and is_complete(directory):
        if isinstance(failure, RulesError):  # it would be refused again
            return
        told = f"all was extracted, and is kept for now in {directory}"
        if upload:
            options = [text for name, value in upload.items() for text in (f"--{name.replace('_', '-')}", str(value))]
            command = shlex.join(["secoda-async", "upload", str(directory), *options])
            told = f"all was extracted, and is kept for now; this delivers it without a crawl:\n  {command}"
        console.print(told, highlight=False, soft_wrap=True, markup=False)
    elif keeps_journal(integration.settings, run_id):
        console.print(f"--resume {run_id} continues this run", highlight=False, soft_wrap=True)


def _start(
    integration: SecodaIntegration, sink: Sink, console: Console, *, debug: bool, quiet: bool
) -> BaseException | None:
    """Run it, and return what ended it before its time."""
    try:
        with shown(RunRows(integration), console, debug=debug, quiet=quiet):
            integration.start(sink)
    except BaseException as failure:  # noqa: BLE001 # shown by the caller; extract() may raise anything
        return failure
    return None


def _refuse_without_upload(names: Iterable[str]) -> None:
    for name in names:
        option = "--stale-limit" if name == "stale_limits" else f"--{name.replace('_', '-')}"
        raise ConfigurationError(f"{option} belongs to --upload; add that, or leave {option} out")


def _sink(out: Path | None, upload: bool, workspace: dict[str, Any], settings: Mapping[str, Found]) -> tuple[Sink, str]:
    """Where the run ends, and how to say so."""
    if upload and out is not None:
        raise ConfigurationError("give --out or --upload, not both")
    if not upload:
        return (StdoutSink(), "standard output") if out is None else (JSONLSink(out), str(out))
    if "integration_id" not in workspace:
        raise ConfigurationError("--upload needs --integration-id; Secoda shows it in the integration's URL")
    sink = workspace_sink(**workspace, network=of_network(settings))
    return sink, workspace_name(sink)
