"""One run of a benchmark, in a process of its own."""

from __future__ import annotations

from secoda_async.bench.measure import Ended, measure
from secoda_async.bench.plan import Job, how_to_record
from secoda_async.errors import ConfigurationError, ReplayError
from secoda_async.job_process import serve_job, told_of
from secoda_async.load import load_integration
from secoda_async.redact import Redactor


def main() -> None:
    """Make one run."""
    serve_job(lambda job: run(Job.model_validate_json(job)).model_dump_json().encode())


def run(job: Job) -> Ended:
    """Make one run, and tell how it ended."""
    redact = Redactor.of(job.credentials)
    try:
        found = load_integration(job.conditions.target)
        redact = Redactor.of(job.credentials, found.inputs)
        return Ended(figures=measure(job, found))
    except (Exception, SystemExit) as error:  # noqa: BLE001 # a user's file may raise anything
        told = told_of(error)
        if isinstance(error, ReplayError):
            told += f"\n{how_to_record(job.conditions.target, job.conditions.journal)}"
        return Ended(error=redact(told), is_usage=isinstance(error, ConfigurationError))


if __name__ == "__main__":
    main()
