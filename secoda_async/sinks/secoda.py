"""Uploads a complete run to a Secoda workspace: one request, which is one sync."""

from __future__ import annotations

import re
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread
from typing_extensions import override

from secoda_async.baselines import Target
from secoda_async.counters import Traffic
from secoda_async.dataset import Dataset
from secoda_async.errors import ConfigurationError, SpoolError, UploadError
from secoda_async.network.auth import BearerAuth
from secoda_async.network.proxies import Proxies
from secoda_async.pipeline.sink import GuardedSink, RunInfo, Survey
from secoda_async.redact import Redactor
from secoda_async.settings import RateLimit, RetryPolicy, Settings, Timeout
from secoda_async.sinks.address import REGIONS, catalog_url, host_name, resolve_base_url
from secoda_async.sinks.multipart import MultipartFiles, Part
from secoda_async.sinks.portions import Portion, portions
from secoda_async.sinks.survey import AT_ONCE, survey
from secoda_async.sinks.workspace_api import WorkspaceApi
from secoda_async.spool import Spool
from secoda_async.spool_index import Kind
from secoda_async.wording import counted

DEFAULT_BASE_URL: Final = REGIONS["us"]
# 30 calls a minute on PUT, PATCH and POST. Source: Secoda's API documentation, "API helpful information". Of reading
# none is documented, so it is asked no faster than a person's tool would.
_LIMITS: Final = {"POST *": RateLimit(30, per=60), "*": RateLimit(10)}
# The server takes the whole body before it answers, so only silence ends an upload.
_TIMEOUT: Final = Timeout(read=600, total=None)
# A 429 of the workspace may come without Retry-After; its window is a minute.
_RETRY: Final = RetryPolicy(unspecified_wait=60.0)
_MOST_LISTED: Final = 50_000  # integrations, after which the list is not read on
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,199}")  # so it is no path, neither in a URL nor on disk


def require_integration_id(given: object) -> None:
    """Raises ConfigurationError where it cannot be the id of an integration."""
    if not isinstance(given, str) or not _ID.fullmatch(given):
        raise ConfigurationError(f"integration_id must be the id of an integration, not {given!r}")


class SecodaSink(GuardedSink):
    """Sends one streamed multipart request with both files once the run is complete, and nothing otherwise.

    Before it is sent, a sync has to pass the rules and the stale guard, whose policies are `Settings`, and has each
    record once.

    Usage: ``await integration.run(SecodaSink(api_key=key, integration_id="4f…"))``.

    On the platform one request is one sync, and a resource that is absent from a sync is removed, so a sync is never
    split. ``base_url`` is ``us``, ``eu``, ``apac`` or a URL, such as ``https://<domain>/api`` of a self-hosted
    workspace; a base that ends in ``/api/v1`` is taken as well. Plain http to another machine needs ``insecure``.
    ``retry`` says how often what the workspace surely did not take is sent again; by default a 429 without
    ``Retry-After`` waits 60 s, the length of the workspace's window. ``timeout`` is that of one attempt to upload: 10
    minutes without a byte, and no limit in all. ``proxy``, ``trust_env`` and ``verify`` are as in `Settings`, for the
    upload alone.

    ``staling_is_off`` says that *Disable Automatic Staling* is on in the workspace, so that nothing is removed. Only
    then ``batched`` may split an upload into requests of at most ``batch_bytes`` bytes and ``batch_records`` records,
    resources first, for a workspace that does not take all in one.
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
        timeout: Timeout = _TIMEOUT,
        proxy: str | None = None,
        trust_env: bool = False,
        verify: bool | str = True,
        insecure: bool = False,
        staling_is_off: bool = False,
        batched: bool = False,
        batch_bytes: int = 32 * 2**20,
        batch_records: int = 50_000,
    ) -> None:
        if not api_key:
            raise ConfigurationError("an upload needs an API key: SECODA_API_KEY, --api-key-file, or api_key=")
        require_integration_id(integration_id)
        for name, flag in (("insecure", insecure), ("staling_is_off", staling_is_off), ("batched", batched)):
            if not isinstance(flag, bool):  # "no" would be a yes
                raise ConfigurationError(f"{name} must be True or False, not {flag!r}")
        if batched and not staling_is_off:
            raise ConfigurationError(
                "batched needs staling_is_off (--batched needs --staling-is-off): each request is one sync, so each "
                "would remove what the others brought, unless Disable Automatic Staling is on in the workspace"
            )
        for name, value in (("batch_bytes", batch_bytes), ("batch_records", batch_records)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigurationError(f"{name} must be a whole number of 1 or more, not {value!r}")
        url = resolve_base_url(base_url, insecure=insecure)  # refuses here what could not be sent to
        self._settings = Settings(
            base_url=str(url).rstrip("/"),
            concurrency=AT_ONCE,
            rate_limits=_LIMITS,
            retry=retry,
            timeout=timeout,
            proxy=proxy,
            trust_env=trust_env,
            verify=verify,
        )
        Proxies(proxy, trust_env=trust_env)  # or through
        self._auth = BearerAuth(api_key)
        self._redact = Redactor([api_key])
        self._integration_id = integration_id
        self._target = Target(host_name(url), integration_id)
        self._catalog = catalog_url(url)
        self._path = f"/integration/integrations/{integration_id}/import_jsonl_metadata/"
        self._fields = {Kind.RESOURCES: resources_field, Kind.LINEAGE: lineages_field}
        self._staling_is_off = staling_is_off
        self._batched = batched
        self._most = (batch_bytes, batch_records)
        self._traffic = Traffic()

    @override
    def target(self) -> Target:
        """The workspace's host, and the integration there."""
        return self._target

    @property
    @override
    def removes_absent(self) -> bool:
        return not self._staling_is_off

    @property
    def base_url(self) -> str:
        """The URL of the workspace's API."""
        return self._settings.base_url

    @property
    def is_batched(self) -> bool:
        """Whether an upload may be several requests."""
        return self._batched

    @override
    async def open(self, run: RunInfo) -> None:
        """Ask for the integrations: a wrong key, address or id is told before a crawl of hours, not after it."""
        self._traffic = run.upload
        try:
            known = await self._known_integrations()
        except UploadError as error:
            if error.status is None or error.status == 401:
                raise
            return  # what else it says of listing need not hold for importing
        # A key that may not list may be shown nothing, so an empty list says nothing of the id.
        if known and self._integration_id not in known:
            raise UploadError(
                f"the workspace at {self.base_url} has {counted(len(known), 'integration')}, and none with the id "
                f"{self._integration_id!r}; check the integration id, the base URL (region) and whose API key it is",
                status=404,
            )

    @override
    async def survey(self, work: Path) -> Survey:
        async with self._api() as api:
            return await survey(api, self._catalog, self._integration_id, work)

    @override
    async def commit(self, spool: Spool) -> None:
        assert spool.distinct is not None, "a sync is checked before it is sent"
        await self.upload(Dataset(*(spool.distinct[kind] for kind in Kind)))

    @override
    async def abort(self, error: BaseException) -> None:
        return

    async def upload(self, dataset: Dataset) -> None:
        """Send a dataset as it is: each record once, by every rule.

        Raises UploadError where the workspace did not take it, or not for certain, and SpoolError where its files
        cannot be read.
        """
        try:
            requests = await self._requests(dataset)
        except OSError as exc:
            raise SpoolError(f"the files to upload cannot be read: {exc}; nothing was sent") from exc
        async with self._api() as api:
            for taken, request in enumerate(requests):
                try:
                    await api.post(self._path, request)
                except UploadError as error:
                    if len(requests) == 1:
                        raise
                    raise _in_the_middle(error, taken, len(requests)) from error

    async def _requests(self, dataset: Dataset) -> list[MultipartFiles]:
        """The bodies to send, in order: one, or the portions of a batched upload."""
        paths = {kind: dataset.file(kind) for kind in Kind}
        sizes = {kind: (await anyio.Path(path).stat()).st_size for kind, path in paths.items()}
        ranges = [{kind: Portion(0, size) for kind, size in sizes.items()}]
        if self._batched:
            # Resources first: lineage is between resources that the workspace knows.
            ranges = [{kind: portion} for kind in Kind for portion in await self._portions(paths[kind])] or [{}]
        requests: list[MultipartFiles] = []
        before = 0
        for each in ranges:
            parts = [self._part(kind, paths[kind], each.get(kind, Portion(0, 0))) for kind in Kind]
            requests.append(MultipartFiles(parts, partial(self._show, before)))
            before += requests[-1].length
        self._traffic.body_size = before
        return requests

    async def _portions(self, path: Path) -> list[Portion]:
        most_bytes, most_lines = self._most
        found = portions(path, most_bytes=most_bytes, most_lines=most_lines)
        return await to_thread.run_sync(list, found, abandon_on_cancel=True)

    def _part(self, kind: Kind, path: Path, portion: Portion) -> Part:
        return Part(self._fields[kind], path, portion.size, portion.offset)

    def _show(self, before: int, sent: int) -> None:
        self._traffic.body_sent = before + sent

    async def _known_integrations(self) -> set[str]:
        """The ids of the workspace's integrations; none where the list cannot be read to its end."""
        known: set[str] = set()
        async with self._api() as api, aclosing(api.pages("/integration/integrations")) as pages:
            async for page in pages:
                results = page.get("results")
                entries = results if isinstance(results, list) else [None]
                ids = [one["id"] for one in entries if isinstance(one, dict) and isinstance(one.get("id"), str)]
                known.update(ids)
                if len(ids) < len(entries) or len(known) > _MOST_LISTED:
                    return set()
        return known

    def _api(self) -> WorkspaceApi:
        return WorkspaceApi(self._settings, auth=self._auth, traffic=self._traffic, redact=self._redact)


def _in_the_middle(error: UploadError, taken: int, requests: int) -> UploadError:
    return UploadError(
        f"request {taken + 1} of {requests} failed: {error}. {taken} of {requests} requests were taken, the rest was "
        "not sent; nothing was removed, so upload all of it again",
        status=error.status,
        ambiguous=error.ambiguous or taken > 0,
    )
