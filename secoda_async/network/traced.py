"""A span of OpenTelemetry for each attempt, named as its conventions for HTTP clients say."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry import trace
from typing_extensions import override

from secoda_async.network.message import Layer, Request, Response, Transport
from secoda_async.version import __version__

_REFUSED = 400


class Traced(Layer):
    """Tells each exchange to the tracer of the process. Nothing of it goes to the source.

    A span has method, host, port, the path without what is secret, and the status or the error; never a query, a
    header or a body.
    """

    def __init__(self, inner: Transport, redact: Callable[[str], str]) -> None:
        super().__init__(inner)
        self._redact = redact
        self._tracer = trace.get_tracer("secoda_async", __version__)

    @override
    async def send(self, request: Request) -> Response:
        url = request.url
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "server.address": url.raw_host or "",
            "server.port": url.port or 0,
            "url.scheme": url.scheme,
            "url.path": self._redact(url.raw_path),
        }
        with self._tracer.start_as_current_span(
            request.method,
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,  # its message is redacted higher up only
            set_status_on_exception=False,
        ) as span:
            try:
                response = await self._inner.send(request)
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= _REFUSED:
                _fail(span, str(response.status_code))
            return response


def _fail(span: trace.Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(trace.StatusCode.ERROR)
