"""Asynchronous, high-throughput extraction framework for the Secoda data catalog.

Subclass `SecodaIntegration`, write ``async def extract(self)``, and call ``start()``.
"""

from secoda_async.errors import (
    BackpressureError,
    BodyTooLargeError,
    BrokenExchangeError,
    CertificateError,
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    CredentialError,
    DecodeError,
    DeliveryError,
    EncodeError,
    IncompleteRunError,
    InvalidRequestError,
    OriginError,
    OutputError,
    RecordError,
    RecordTooLargeError,
    RedirectError,
    RequestError,
    RequestTimeoutError,
    ResponseError,
    RunError,
    SecodaAsyncError,
    SpoolError,
    StatusError,
    TransportError,
    UploadError,
)
from secoda_async.integration import SecodaIntegration
from secoda_async.models import (
    DeclaredLineage,
    EntityType,
    ExternalColumn,
    ExternalTable,
    InternalResource,
    LineageID,
    Resource,
    TablesFromSQLQuery,
)
from secoda_async.network.auth import BasicAuth, BearerAuth
from secoda_async.network.message import BodySource, Request, Response, Transport
from secoda_async.pipeline.sink import RunInfo, Sink, StreamingSink
from secoda_async.report import RunReport
from secoda_async.settings import UNSET, Input, RateLimit, RetryPolicy, Settings, Timeout
from secoda_async.sinks.jsonl import JSONLSink
from secoda_async.sinks.secoda import SecodaSink
from secoda_async.sinks.stdout import StdoutSink
from secoda_async.spool import Batch, Kind, Spool
from secoda_async.version import __version__

__all__ = [
    "UNSET",
    "BackpressureError",
    "BasicAuth",
    "Batch",
    "BearerAuth",
    "BodySource",
    "BodyTooLargeError",
    "BrokenExchangeError",
    "CertificateError",
    "CircuitOpenError",
    "ConfigurationError",
    "ConnectError",
    "CredentialError",
    "DeclaredLineage",
    "DecodeError",
    "DeliveryError",
    "EncodeError",
    "EntityType",
    "ExternalColumn",
    "ExternalTable",
    "IncompleteRunError",
    "Input",
    "InternalResource",
    "InvalidRequestError",
    "JSONLSink",
    "Kind",
    "LineageID",
    "OriginError",
    "OutputError",
    "RateLimit",
    "RecordError",
    "RecordTooLargeError",
    "RedirectError",
    "Request",
    "RequestError",
    "RequestTimeoutError",
    "Resource",
    "Response",
    "ResponseError",
    "RetryPolicy",
    "RunError",
    "RunInfo",
    "RunReport",
    "SecodaAsyncError",
    "SecodaIntegration",
    "SecodaSink",
    "Settings",
    "Sink",
    "Spool",
    "SpoolError",
    "StatusError",
    "StdoutSink",
    "StreamingSink",
    "TablesFromSQLQuery",
    "Timeout",
    "Transport",
    "TransportError",
    "UploadError",
    "__version__",
]
