"""What OpenTelemetry is told: a span for the run, one for each attempt below it, counts, and nothing secret."""

from collections.abc import Iterator

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from secoda_async import BearerAuth, Resource, RetryPolicy, SecodaIntegration, StatusError
from secoda_async.network.message import Auth
from secoda_async.testing import FakeSource, run_extract

EXPORTER = InMemorySpanExporter()
READER = InMemoryMetricReader()
_PROVIDER = TracerProvider()
_PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))
trace.set_tracer_provider(_PROVIDER)  # once a process: OpenTelemetry takes no second one
metrics.set_meter_provider(MeterProvider([READER]))


class Jobs(SecodaIntegration):
    base_url = "https://api.example.com"
    retry = RetryPolicy(attempts=2, backoff=0.001)

    def default_auth(self) -> Auth:
        return BearerAuth(self.credentials["token"])

    async def extract(self) -> None:
        await self.for_each(["a", "b"], self.one)

    async def one(self, name: str) -> None:
        await self.http_get(f"/jobs/{name}", params={"q": "geheime-frage", "path": self.credentials["token"]})
        await self.declare_resource(Resource(entity_type="dashboard", databuilder_id=name, title=name))


@pytest.fixture(autouse=True)
def spans() -> Iterator[InMemorySpanExporter]:
    EXPORTER.clear()
    yield EXPORTER
    READER.get_metrics_data()


def source() -> FakeSource:
    made = FakeSource()
    made.get("/jobs/a", json={})
    made.get("/jobs/b", status=503, headers={"Retry-After": "0"}).then(json={})
    return made


def by_name(spans: InMemorySpanExporter) -> tuple[ReadableSpan, list[ReadableSpan]]:
    """The span of the run, and those of its attempts."""
    [run] = [one for one in spans.get_finished_spans() if one.name.startswith("run ")]
    return run, [one for one in spans.get_finished_spans() if one is not run]


async def test_a_run_is_a_span_and_each_attempt_one_below_it(spans: InMemorySpanExporter) -> None:
    records = await run_extract(Jobs(credentials={"token": "geheimes-token"}, transport=source(), telemetry=True))
    run, attempts = by_name(spans)
    assert run.name == "run Jobs"
    assert run.attributes is not None
    assert run.attributes["secoda_async.run"] == records.report.run
    assert (run.attributes["secoda_async.status"], run.attributes["secoda_async.delivery"]) == ("complete", "delivered")
    seen = sorted((one.attributes["url.path"], one.attributes["http.response.status_code"]) for one in attempts)  # type: ignore[index]
    assert seen == [("/jobs/a", 200), ("/jobs/b", 200), ("/jobs/b", 503)]
    assert run.context is not None
    assert {one.parent.span_id for one in attempts if one.parent is not None} == {run.context.span_id}
    assert {one.kind for one in attempts} == {trace.SpanKind.CLIENT}
    [failed] = [one for one in attempts if one.status.status_code is trace.StatusCode.ERROR]
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "503"


async def test_no_span_holds_a_credential_a_query_or_a_header(spans: InMemorySpanExporter) -> None:
    await run_extract(Jobs(credentials={"token": "geheimes-token"}, transport=source(), telemetry=True))
    told = "".join(one.to_json() for one in spans.get_finished_spans())
    assert "geheim" not in told
    assert "Bearer" not in told


async def test_a_failed_run_is_a_failed_span_with_its_error(spans: InMemorySpanExporter) -> None:
    made = FakeSource()
    made.get("/jobs/{name}", status=500)
    with pytest.raises(StatusError):
        await run_extract(Jobs(credentials={"token": "geheimes-token"}, transport=made, telemetry=True))
    run, _ = by_name(spans)
    assert run.status.status_code is trace.StatusCode.ERROR
    assert "geheim" not in run.to_json()


async def test_counts_are_told_when_a_run_ends() -> None:
    await run_extract(Jobs(credentials={"token": "geheimes-token"}, transport=source(), telemetry=True))
    data = READER.get_metrics_data()
    assert data is not None
    points = {
        one.name: one.data.data_points
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for one in scope.metrics
    }
    assert {"secoda_async.records", "secoda_async.attempts", "secoda_async.run.duration"} <= set(points)
    kinds = {(point.attributes or {}).get("secoda_async.entity_type") for point in points["secoda_async.records"]}
    assert "dashboard" in kinds


async def test_off_nothing_is_told(spans: InMemorySpanExporter) -> None:
    await run_extract(Jobs(credentials={"token": "geheimes-token"}, transport=source()))
    assert spans.get_finished_spans() == ()
