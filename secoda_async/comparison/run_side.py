"""One run of a comparison, in the process that it is called in: on a recording, or to make one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from typing_extensions import override

from secoda_async.errors import ConfigurationError, ReplayError
from secoda_async.job_process import told_of
from secoda_async.load import load_integration, with_recording
from secoda_async.network.message import Request
from secoda_async.network.replay import ReplayTransport
from secoda_async.redact import Redactor
from secoda_async.sinks.jsonl import JSONLSink

MOST_TOLD: Final = 20
"""Requests that are named where the recording does not hold them; all are counted."""


class Job(BaseModel):
    """What a run is to do."""

    target: str
    """``MODULE:CLASS`` or ``FILE.py:CLASS``."""
    credentials: dict[str, Any]
    """Of both sides; each takes what is among its inputs."""
    state_dir: Path
    out: Path
    """Where its records go."""
    record: Path | None = None
    """The file that takes what the source answers."""
    replay: Path | None = None
    """The recording that answers in place of the source."""


class Ended(BaseModel):
    """How it ended."""

    requests: int = 0
    error: str = ""
    """What it ended in, for a person; "": its records are there."""
    is_usage: bool = False
    """Whether that is a setting or a class that cannot be used."""
    not_recorded: list[str] = []
    """The first requests that the recording holds no answer to."""
    not_recorded_count: int = 0


def run_side(job: Job) -> Ended:
    """Run an integration, owning the process, and tell how it ended."""
    redact = Redactor.of(job.credentials)
    replay = None if job.replay is None else _Replay(job.replay)
    try:
        found = load_integration(job.target)
        inputs = found.inputs
        credentials = {name: text for name, text in job.credentials.items() if inputs is None or name in inputs}
        redact = Redactor.of(credentials, inputs)
        settings: dict[str, Any] = {"resumable": False, "conditional": False, "resume": None, "replay": None}
        if replay is not None:
            settings["rate_limits"] = {}  # of a source that is not asked
        integration = with_recording(
            found,
            credentials=credentials,
            transport=replay,
            state_dir=job.state_dir,
            **settings,
            record=job.record,
        )
        report = integration.start(JSONLSink(job.out))
        return Ended(requests=report.source.requests)
    except (Exception, SystemExit) as error:  # noqa: BLE001 # a user's file may raise anything
        missing = [] if replay is None else replay.missing
        return Ended(
            error=redact(told_of(error)),
            is_usage=isinstance(error, ConfigurationError),
            not_recorded=[redact(request) for request in missing[:MOST_TOLD]],
            not_recorded_count=len(missing),
        )


class _Replay(ReplayTransport):
    """Remembers what it could not answer."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.missing: list[str] = []

    @override
    async def find(self, request: Request, redact: Redactor) -> int:
        try:
            return await super().find(request, redact)
        except ReplayError:
            self.missing.append(str(request))
            raise
