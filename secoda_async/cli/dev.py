"""``secoda-async dev``: a workspace on this machine, to try uploads on."""

from __future__ import annotations

import errno
import os
import shlex
import signal
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import anyio
import orjson
import typer
from rich.console import Console
from rich.text import Text

from secoda_async.cli.credentials import API_KEY_VARIABLE
from secoda_async.cli.failure import exit_status, show_error
from secoda_async.cli.standard_streams import print_document
from secoda_async.cli.terminal import Terminal
from secoda_async.errors import ConfigurationError
from secoda_async.redact import Redactor
from secoda_async.wording import counted

if TYPE_CHECKING:
    from secoda_async.testing.catalog import Sync
    from secoda_async.testing.workspace import FakeWorkspace

_KEY: Final = "dev-key"  # of a workspace that only this machine reaches


def dev(
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes a free one.")] = 8765,
    integration_id: Annotated[
        str, typer.Option(metavar="ID", help="The id that the workspace's integration has.")
    ] = "dev",
    no_staling: Annotated[
        bool, typer.Option("--no-staling", help="Keep what a sync leaves out: Disable Automatic Staling.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON, {url, integration_id}, once it serves.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Serve a workspace that behaves as Secoda's documentation says, on 127.0.0.1, until Ctrl-C.

    It holds what is uploaded to it in memory, and shows it as pages in a browser. Its API key is that of
    SECODA_API_KEY, else dev-key.
    """
    try:
        anyio.run(_serve, port, integration_id, not no_staling, as_json)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 # whatever ends a command is one message
        show_error(error, Terminal(stderr=True), Redactor(), debug=debug)
        raise typer.Exit(exit_status(error)) from None


async def _serve(port: int, integration_id: str, staling: bool, as_json: bool) -> None:
    # They import a web server, which no other command needs.
    from secoda_async.dev.pages import PREFIX, WorkspacePages  # noqa: PLC0415
    from secoda_async.sinks.secoda import require_integration_id  # noqa: PLC0415
    from secoda_async.testing.workspace import FakeWorkspace  # noqa: PLC0415

    require_integration_id(integration_id)
    own_key = os.environ.get(API_KEY_VARIABLE)
    console = Terminal(stderr=True, highlight=False)
    pages: WorkspacePages | None = None

    def tell(id_: str, sync: Sync) -> None:
        said = (
            f"{sync.at:%H:%M:%S} sync: {counted(sync.resource_lines, 'resource')}, {sync.lineage_lines:,} lineage; "
            f"{len(sync.added):,} added, {len(sync.changed):,} changed, {len(sync.removed):,} removed"
        )
        console.print(Text(said), soft_wrap=True)
        if pages is not None:
            group.start_soon(pages.prepare, id_)

    def commands(id_: str) -> list[str]:
        options = shlex.join(["--upload", "--base-url", workspace.url, "--integration-id", id_])
        key = [] if own_key else [f"export {API_KEY_VARIABLE}={_KEY}"]
        return [*key, f"secoda-async run MODULE_OR_FILE:CLASS {options}"]

    workspace = FakeWorkspace(api_key=own_key or _KEY, staling=staling, port=port, on_sync=tell)
    workspace.create_integration("dev", integration_id=integration_id)
    no_page = ""
    try:
        pages = await anyio.to_thread.run_sync(partial(WorkspacePages, workspace.catalogs, commands=commands))
        workspace.mount(PREFIX, pages.app())
    except ConfigurationError as exc:
        no_page = str(exc)
    # Before it says that it serves: whoever has read that may stop this process at once.
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await _begin(workspace, port)
        try:
            async with anyio.create_task_group() as group:
                if as_json:
                    print_document(orjson.dumps({"url": workspace.url, "integration_id": integration_id}).decode())
                else:
                    _introduce(workspace.url, commands(integration_id), no_page=no_page, console=console)
                async for _ in signals:
                    group.cancel_scope.cancel()
        finally:
            await workspace.aclose()


async def _begin(workspace: FakeWorkspace, port: int) -> None:
    try:
        await workspace.__aenter__()
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:
            raise
        raise ConfigurationError(f"port {port} is in use; give another one with --port, or 0") from None


def _introduce(url: str, commands: Sequence[str], *, no_page: str, console: Console) -> None:
    lines = [
        f"A workspace that behaves as Secoda's documentation says: {url}",
        f"Without its page, since {no_page}" if no_page else "Open that address in a browser to see what it holds.",
        "Upload to it from another terminal; nothing leaves this machine. Ctrl-C ends it.",
        "",
        *(f"  {command}" for command in commands),
        "",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
