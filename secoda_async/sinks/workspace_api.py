"""The HTTP API of one workspace: asks and sends, and says of each failure what it means for a sync."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from itertools import count
from typing import Any, Final, Self

import anyio

from secoda_async.counters import Traffic
from secoda_async.errors import ConnectError, DecodeError, RequestError, StatusError, TransportError, UploadError
from secoda_async.findings import Findings
from secoda_async.network.client import Client
from secoda_async.network.message import Auth, Response
from secoda_async.network.origin import target_of
from secoda_async.network.retry import decide
from secoda_async.redact import Redactor
from secoda_async.settings import RetryPolicy, Settings, Timeout
from secoda_async.sinks.answers import readable
from secoda_async.sinks.multipart import MultipartFiles
from secoda_async.wording import counted

_ASKING: Final = Timeout()  # an upload's own are far longer
_NO_PAGE: Final = frozenset({None, "", "None"})  # the documented examples write the end of a listing in both ways
_NEXT_STEP: Final = {
    400: "mend the records it names and run again",
    401: "check the API key, and that it is one of this workspace and region",
    403: "the API key may not import into this integration; give it a role that may edit it",
    404: "check the integration id and the base URL (region)",
    413: "the sync is too large for this workspace; ask Secoda for its limit, or, where automatic staling is off, "
    "upload it in parts (--batched --staling-is-off)",
    429: "the workspace takes 30 such calls a minute; run again later, and look for what else calls it",
}


class WorkspaceApi:
    """Asks and sends, with retries, under the workspace's limits.

    Usage: ``async with WorkspaceApi(settings, auth=auth, traffic=traffic, redact=redact) as api``, then
    ``await api.post(path, body)``.
    Raises UploadError, which says whether a sync may have been taken.
    """

    def __init__(self, settings: Settings, *, auth: Auth, traffic: Traffic, redact: Redactor) -> None:
        # Its failures are the delivery's own, so they are no losses of the extraction.
        self._client = Client(settings, traffic=traffic, findings=Findings(), redact=redact, auth=auth)
        self._retry = settings.retry or RetryPolicy(attempts=1)
        self._traffic = traffic
        self._redact = redact

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def pages(self, url: str, params: Mapping[str, str] | None = None) -> AsyncGenerator[dict[str, Any]]:
        """The pages of a listing, as long as ``links.next`` leads on, and to this workspace. Close it at its end."""
        reply = await self._get(url, params)
        seen = {reply.url}
        while True:
            page = self._object(reply)
            yield page
            links = page.get("links")
            if not isinstance(links, dict) or not isinstance(links.get("next", 0), str | None):
                raise self._undocumented(reply, "it has no links.next")
            following = links["next"]
            if following in _NO_PAGE:
                return
            target = self._on_this_host(reply, following)
            if target in seen:
                raise self._undocumented(reply, "its next page is one that came before")
            seen.add(target)
            reply = await self._get(target, None)

    async def post(self, path: str, body: MultipartFiles) -> None:
        """Send a sync. What the workspace surely did not take is sent again, from its beginning."""
        for attempt in count(1):
            try:
                reply = await self._client.request("POST", path, body=body, headers={"Content-Type": body.content_type})
            except StatusError as error:
                raise self._refused(error.response) from error
            except ConnectError as error:
                raise UploadError(f"the workspace was not reached, nothing was sent: {error}") from error
            except TransportError as error:
                wait = self._wait_after(error, body, attempt)
                self._traffic.retries[type(error).__name__] += 1
                await anyio.sleep(wait)
            except RequestError as error:
                raise UploadError(f"nothing was sent: {error}") from error
            else:
                if not reply.is_success:
                    raise self._refused(reply)
                return

    def _wait_after(self, error: TransportError, body: MultipartFiles, attempt: int) -> float:
        """Seconds until a body that did not get out whole may be sent again. Raises UploadError where it may not."""
        if body.given_out:
            raise UploadError(
                f"the sync was sent and the answer did not come, so it may or may not have been taken: {error}. "
                "Look at the integration in Secoda before you run again",
                ambiguous=True,
            ) from error
        # A request with half its body is none, so as little was taken as of one that may be repeated anyway.
        options = error.request.options._replace(idempotent=True)
        wait = decide(self._retry, error.request._replace(options=options), error, attempt=attempt).wait
        if wait is None:
            raise UploadError(
                f"the sync was not taken: the connection ended before all of it was sent, "
                f"{counted(attempt, 'time')}: {error}; run again when the network is better"
            ) from error
        return wait

    async def _get(self, url: str, params: Mapping[str, str] | None) -> Response:
        try:
            reply = await self._client.request("GET", url, params=params, timeout=_ASKING)
        except StatusError as error:
            raise self._refused(error.response) from error
        except ConnectError as error:
            raise UploadError(f"the workspace was not reached, nothing was sent: {error}") from error
        except RequestError as error:
            raise UploadError(f"the workspace did not answer, nothing was sent: {error}") from error
        if not reply.is_success:
            raise self._refused(reply)
        return reply

    def _object(self, reply: Response) -> dict[str, Any]:
        try:
            found = reply.json()
        except DecodeError as error:
            raise self._undocumented(reply, "it is no JSON") from error
        if not isinstance(found, dict):
            raise self._undocumented(reply, "it is no JSON object")
        return found

    def _on_this_host(self, reply: Response, link: str) -> str:
        """Where a next page is asked for: scheme and port stay ours, since a proxy may hide them from the server."""
        own = reply.request.url
        try:
            target = target_of(own, link)
        except ValueError as error:
            raise self._undocumented(reply, f"its next page is {error}") from None
        if (target.raw_host or "").lower() != (own.raw_host or "").lower():
            raise self._undocumented(reply, f"its next page is on another host, {target.raw_host}")
        return str(own.with_path(target.raw_path, encoded=True).with_query(None)) + (
            f"?{target.raw_query_string}" if target.raw_query_string else ""
        )

    def _undocumented(self, reply: Response, why: str) -> UploadError:
        message = f"the workspace's answer to {reply.request} is not as documented: {why}"
        return UploadError(self._redact(message), status=reply.status_code)

    def _refused(self, reply: Response) -> UploadError:
        status = reply.status_code
        message = f"the workspace answered {reply.request}: {status} {reply.reason_phrase}".rstrip()
        if status == 413 and isinstance(reply.request.body, MultipartFiles):
            message += f" (of {reply.request.body.length / 2**20:,.1f} MiB)"
        if reply.is_redirect:
            location = self._redact(reply.headers.get("Location", "nowhere"))
            message += f" to {location!r}, which is never followed"
        elif said := readable(reply, self._redact):
            message += f": {said}"
        if status >= 500 and reply.request.method == "POST":
            # Not sent again: the import goes on behind the answer, and what two at once end in is not documented.
            message += "; the sync may or may not have been taken, look at the integration in Secoda"
            return UploadError(self._redact(message), status=status, ambiguous=True)
        return UploadError(self._redact(f"{message}; {_NEXT_STEP.get(status, 'check the base URL')}"), status=status)
