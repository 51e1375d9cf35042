"""What OpenTelemetry is told of a run: one span around it, and its counts when it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from secoda_async.errors import ConfigurationError
from secoda_async.report import RunReport
from secoda_async.version import __version__

Tell = Callable[[RunReport], None]


def _say_nothing(_: RunReport) -> None:
    return


def require_telemetry() -> None:
    """Raises ConfigurationError where OpenTelemetry is not installed."""
    if find_spec("opentelemetry") is None:
        raise ConfigurationError("telemetry needs OpenTelemetry: pip install 'secoda-async[otel]', or leave it off")


@contextmanager
def run_span(integration: str, run_id: str, *, on: bool) -> Iterator[Tell]:
    """A span around a run, where it is on; what it gives is told the run's report before the end.

    Spans and counts go where the process has been set up to send them, as by ``opentelemetry-instrument``; where it was
    not, nowhere.
    """
    if not on:
        yield _say_nothing
        return
    from opentelemetry import trace  # noqa: PLC0415 # an extra, and only where it is on

    tracer = trace.get_tracer("secoda_async", __version__)
    with tracer.start_as_current_span(
        f"run {integration}",
        attributes={"secoda_async.integration": integration, "secoda_async.run": run_id},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:

        def tell(report: RunReport) -> None:
            span.set_attribute("secoda_async.status", report.status.value)
            span.set_attribute("secoda_async.delivery", report.delivery.value)
            if report.error is not None:
                span.set_status(trace.StatusCode.ERROR)  # its message names what was asked; the report has it
            _count(report)

        yield tell


def _count(report: RunReport) -> None:
    from opentelemetry import metrics  # noqa: PLC0415 # see above

    meter = metrics.get_meter("secoda_async", __version__)
    said = {"secoda_async.integration": report.integration, "secoda_async.status": report.status.value}
    meter.create_histogram("secoda_async.run.duration", unit="s").record(report.seconds, said)
    meter.create_counter("secoda_async.run.losses").add(report.loss_count, said)
    meter.create_counter("secoda_async.attempts").add(report.source.attempts, said)
    for kind, count in (*report.resources.items(), ("lineage", report.lineage)):
        meter.create_counter("secoda_async.records").add(count, {**said, "secoda_async.entity_type": kind})
