"""``secoda-async upload``: delivers what a run has left, or files that another program wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.text import Text

from secoda_async.checks import Checks
from secoda_async.cli.failure import ExitStatus, exit_status, show_error
from secoda_async.cli.guard import Against, AllowEmpty, AllowStale, FirstSync, StaleLimit, guard_settings
from secoda_async.cli.options import CaFile, Debug, Proxy, Quiet, StateDir, Strict, TrustEnv, given, network_settings
from secoda_async.cli.progress import shown
from secoda_async.cli.progress_rows import UploadRows
from secoda_async.cli.settings_sources import find_settings, of_network, settings_of
from secoda_async.cli.show_diff import show_diff
from secoda_async.cli.show_verdict import show_verdict
from secoda_async.cli.standard_streams import print_document
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
from secoda_async.errors import reason_of
from secoda_async.process import run_in_process
from secoda_async.redact import Redactor
from secoda_async.report import Delivery
from secoda_async.settings import Settings


def upload(  # noqa: PLR0917 # typer reads the options off the parameters
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A run's folder, or one with resources.jsonl and lineage.jsonl.")
    ],
    integration_id: Annotated[str, typer.Option(metavar="ID", help="The workspace's id of this integration.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check it and show what it would do, and send nothing.")
    ] = False,
    base_url: BaseUrl = None,
    api_key_file: ApiKeyFile = None,
    insecure_http: InsecureHttp = False,
    staling_is_off: StalingIsOff = False,
    batched: Batched = False,
    strict: Strict = False,
    on_conflict: OnConflictOption = None,
    allow_stale: AllowStale = None,
    allow_empty: AllowEmpty = False,
    stale_limit: StaleLimit = None,
    first_sync: FirstSync = False,
    against: Against = None,
    state_dir: StateDir = None,
    proxy: Proxy = None,
    trust_env: TrustEnv = False,
    ca_file: CaFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found out, and what became of it.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Upload a complete run that was not delivered, or files of others, as one sync. Exit status 0: it was taken."""
    # It imports DuckDB, which no other command needs before it delivers.
    from secoda_async.resend import Resend  # noqa: PLC0415

    console = Terminal(stderr=True)
    redact = Redactor()
    resend: Resend | None = None
    settings = Settings()
    name = ""
    try:
        found = find_settings(
            network_settings(proxy, trust_env, ca_file)
            | given(state_dir=state_dir, strict=strict or None, on_conflict=on_conflict)
            | guard_settings(
                allow_stale=allow_stale,
                allow_empty=allow_empty,
                stale_limit=stale_limit,
                first_sync=first_sync,
                against=against,
            )
        )
        sink = workspace_sink(
            integration_id=integration_id,
            base_url=base_url,
            api_key_file=api_key_file,
            insecure_http=insecure_http,
            staling_is_off=staling_is_off,
            batched=batched,
            network=of_network(found),
        )
        settings = settings_of(found)
        name = workspace_name(sink)
        resend = Resend(directory, sink, settings=settings, redact=redact, dry_run=dry_run)
        with shown(UploadRows(resend), console, debug=debug, quiet=quiet):
            run_in_process(resend.execute)
        failure: BaseException | None = None
    except BaseException as error:  # noqa: BLE001 # whatever ends a command is one message
        failure = error
    checks = Checks() if resend is None else resend.checks
    delivery = Delivery.NOTHING if resend is None else resend.delivery
    lacks = "" if resend is None else resend.lacks
    if as_json:
        print_document(_json(checks, delivery, lacks, None if failure is None else redact(reason_of(failure))))
    elif not quiet or failure is not None:
        if checks.verdict is not None:
            show_verdict(checks.verdict, console)
        if checks.diff is not None:
            show_diff(checks.diff, console)
    if failure is not None:
        show_error(failure, console, redact, debug=debug, delivery=delivery)
        raise typer.Exit(exit_status(failure))
    if not quiet and not as_json:
        said = "would be delivered (--dry-run): " if dry_run else "delivered: "
        console.print(Text.assemble((said, "bold green"), name), soft_wrap=True)
    if lacks:
        console.print(Text.assemble(("degraded: ", "bold yellow"), f"in the run, {lacks}"), soft_wrap=True)
        raise typer.Exit(ExitStatus.DEGRADED)
    if settings.strict and checks.verdict is not None and checks.verdict.breaches:
        raise typer.Exit(ExitStatus.FINDINGS)


def _json(checks: Checks, delivery: Delivery, lacks: str, error: str | None) -> str:
    verdict, diff = checks.verdict, checks.diff
    told = {
        "delivery": delivery.value,
        "error": error,
        "lacks": lacks,
        "verdict": None if verdict is None else verdict.model_dump(mode="json"),
        "diff": None if diff is None else diff.model_dump(mode="json"),
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()
