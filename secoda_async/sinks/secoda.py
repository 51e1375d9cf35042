"""Uploads a complete run to a Secoda workspace: one request, which is one sync."""

from __future__ import annotations

import sqlite3
from typing import Final
from urllib.parse import quote

import anyio
from typing_extensions import Unpack, override

from secoda_async.baselines import Target
from secoda_async.counters import Traffic
from secoda_async.errors import ConfigurationError, ConnectError, SpoolError, StatusError, TransportError, UploadError
from secoda_async.findings import Findings
from secoda_async.network.auth import BearerAuth
from secoda_async.network.client import BodyOptions, Client
from secoda_async.network.encode import BaseUrl
from secoda_async.network.message import Response, clip
from secoda_async.network.proxies import Proxies
from secoda_async.pipeline.sink import RunInfo, SyncSink
from secoda_async.redact import Redactor
from secoda_async.settings import RateLimit, RetryPolicy, Settings, Timeout
from secoda_async.sinks.distinct import without_repeats
from secoda_async.sinks.multipart import MultipartFiles
from secoda_async.spool import Spool
from secoda_async.spool_index import Kind

DEFAULT_BASE_URL: Final = "https://api.secoda.co"
# 30 calls a minute on PUT, PATCH and POST. Source: Secoda's API documentation, "API helpful information".
_LIMIT: Final = RateLimit(30, per=60)
# The server takes the whole body before it answers, so only silence ends an upload.
_TIMEOUT: Final = Timeout(read=600, total=None)
# A 429 of the workspace may come without Retry-After; its window is a minute.
_RETRY: Final = RetryPolicy(unspecified_wait=60.0)
_PREFLIGHT: Final = Timeout()
_CLIP: Final = 1000
_NEXT_STEP: Final = {
    400: "mend the records it names and run again",
    401: "check the API key",
    403: "the API key may not import into this integration; check its role in the workspace",
    404: "check the integration id and the base URL (region)",
    413: "the sync is too large for this workspace; ask Secoda for its limit",
    429: "the workspace is busy; run again later",
}


class SecodaSink(SyncSink):
    """Sends one streamed multipart request with both files once the run is complete, and nothing otherwise.

    Lines that repeat an earlier one are left out of it.

    Usage: ``await integration.run(SecodaSink(api_key=key, integration_id="4f…"))``.

    On the platform one request is one sync, and a resource that is absent from a sync is removed, so a sync is never
    split. Regions: US ``https://api.secoda.co``, EU ``https://eapi.secoda.co``, APAC ``https://aapi.secoda.co``,
    self-hosted ``https://<domain>/api``; a base that ends in ``/api/v1`` is taken as well.
    ``retry`` says how often what the workspace surely did not take is sent again; by default a 429 without
    ``Retry-After`` waits 60 s, the length of the workspace's window. ``proxy``, ``trust_env`` and ``verify`` are as in
    `Settings`, for the upload alone.
    Raises ConfigurationError for unusable arguments, and UploadError where the workspace did not take the sync, which
    says whether that is certain. Source: Secoda's documentation of JSONL file upload.
    """

    def __init__(
        self,
        *,
        api_key: str,
        integration_id: str,
        base_url: str = DEFAULT_BASE_URL,
        resources_field: str = "resources_file",
        lineages_field: str = "lineages_file",
        retry: RetryPolicy = _RETRY,
        proxy: str | None = None,
        trust_env: bool = False,
        verify: bool | str = True,
    ) -> None:
        if not api_key:
            raise ConfigurationError("an upload needs an API key: SECODA_API_KEY, --api-key-file, or api_key=")
        if not integration_id or quote(integration_id, safe="") != integration_id:
            raise ConfigurationError(f"integration_id must be the id of an integration, not {integration_id!r}")
        self._auth = BearerAuth(api_key)
        self._redact = Redactor([api_key])
        self._path = f"/integration/integrations/{integration_id}/import_jsonl_metadata/"
        self._fields = {Kind.RESOURCES: resources_field, Kind.LINEAGE: lineages_field}
        self._settings = Settings(
            base_url=base_url,
            concurrency=1,
            rate_limits={"*": _LIMIT},
            retry=retry,
            timeout=_TIMEOUT,
            proxy=proxy,
            trust_env=trust_env,
            verify=verify,
        )
        url = BaseUrl(base_url).resolve("/")  # refuses here what could not be sent to
        self._target = Target(url.raw_authority.lower(), integration_id)
        Proxies(proxy, trust_env=trust_env)  # or through
        self._traffic = Traffic()

    @property
    @override
    def target(self) -> Target:
        """The workspace's host, and the integration there."""
        return self._target

    @override
    async def open(self, run: RunInfo) -> None:
        """Ask for the integrations: a wrong key or address is told before a crawl of hours, not after it."""
        self._traffic = run.upload
        async with self._client() as client:
            try:
                await self._ask(client, "GET", "/integration/integrations", timeout=_PREFLIGHT)
            except UploadError as error:
                if error.status is None or error.status == 401:
                    raise  # what else it says of listing need not hold for importing

    @override
    async def commit(self, spool: Spool) -> None:
        body = await self._body(spool)
        async with self._client() as client:
            await self._ask(client, "POST", self._path, body=body, headers={"Content-Type": body.content_type})

    @override
    async def abort(self, error: BaseException) -> None:
        return

    async def _body(self, spool: Spool) -> MultipartFiles:
        files = []
        try:
            for kind, name in self._fields.items():
                path = await without_repeats(spool.file(kind).path, spool.directory)
                files.append((name, path, (await anyio.Path(path).stat()).st_size))
        except (OSError, sqlite3.Error) as exc:
            raise SpoolError(f"the upload cannot be made ready in {spool.directory}: {exc}; nothing was sent") from exc
        return MultipartFiles(files)

    def _client(self) -> Client:
        # Its failures are the delivery's own, so they are no losses of the extraction.
        return Client(self._settings, traffic=self._traffic, findings=Findings(), redact=self._redact, auth=self._auth)

    async def _ask(
        self,
        client: Client,
        method: str,
        path: str,
        *,
        body: MultipartFiles | None = None,
        **options: Unpack[BodyOptions],
    ) -> None:
        try:
            reply = await client.request(method, path, body=body, **options)
        except StatusError as error:
            raise self._refused(error.response) from error
        except ConnectError as error:
            raise UploadError(f"the workspace was not reached, nothing was sent: {error}") from error
        except TransportError as error:
            if method == "GET":
                raise UploadError(f"the workspace did not answer, nothing was sent: {error}") from error
            raise UploadError(
                f"the sync was sent and the answer did not come, so it may or may not have been taken: {error}. "
                "Look at the integration in Secoda before you run again",
                ambiguous=True,
            ) from error
        if not reply.is_success:
            raise self._refused(reply)

    def _refused(self, reply: Response) -> UploadError:
        status = reply.status_code
        said = self._redact(clip(reply, _CLIP))
        message = f"the workspace answered {reply.request}: {status} {reply.reason_phrase}"
        if reply.is_redirect:
            message += f" to {reply.headers.get('Location', 'nowhere')!r}, which an upload never follows"
        elif said:
            message += f": {said}"
        if status >= 500 and reply.request.method == "POST":
            message += "; the sync may or may not have been taken, look at the integration in Secoda"
            return UploadError(message, status=status, ambiguous=True)
        return UploadError(f"{message}; {_NEXT_STEP.get(status, 'check the base URL')}", status=status)
