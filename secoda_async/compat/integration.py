"""The base class of ``secodadk`` 0.0.6, method for method, for where that package is not installed."""

from __future__ import annotations

import abc
from typing import Any

from secoda_async.compat.strategies import (
    DefaultIngestResourcesStrategy,
    DefaultNetworkCallStrategy,
    IngestResourcesStrategy,
    NetworkCallStrategy,
)
from secoda_async.models import DeclaredLineage, Resource


class SecodaIntegration(abc.ABC):
    """What a synchronous integration subclasses: ``def extract(self)`` calls ``http_*`` and ``declare_*``.

    Usage: none of its own; a file that imports ``secodadk`` gets it, see `stand_in`.
    """

    def __init__(
        self,
        *,
        credentials: dict[str, Any],
        ingest_resources_strategy: IngestResourcesStrategy | None = None,
        network_call_strategy: NetworkCallStrategy | None = None,
    ) -> None:
        self.credentials = credentials
        self.ingest_resources_strategy = ingest_resources_strategy or DefaultIngestResourcesStrategy()
        self.network_call_strategy = network_call_strategy or DefaultNetworkCallStrategy()

    @abc.abstractmethod
    def extract(self) -> None:
        """Read the source, and declare what it holds."""

    def declare_resource(self, resource: Resource) -> None:
        self.ingest_resources_strategy.declare_resource(resource)

    def declare_lineage(self, lineage: DeclaredLineage) -> None:
        self.ingest_resources_strategy.declare_lineage(lineage)

    def finalize(self) -> None:
        self.ingest_resources_strategy.finalize()
        self.network_call_strategy.finalize()

    def start(self) -> None:
        self.extract()
        self.finalize()

    def http_get(
        self,
        url: str,
        *,
        params: Any = None,
        headers: Any = None,
        follow_redirects: bool = False,
        verify: bool | str = True,
        auth: Any = None,
    ) -> Any:
        return self.network_call_strategy.make_request(
            "GET", url, params=params, headers=headers, follow_redirects=follow_redirects, verify=verify, auth=auth
        )

    def http_post(
        self,
        url: str,
        *,
        params: Any = None,
        headers: Any = None,
        data: Any = None,
        json: Any = None,
        follow_redirects: bool = False,
        verify: bool | str = True,
        auth: Any = None,
    ) -> Any:
        return self.network_call_strategy.make_request(
            "POST",
            url,
            params=params,
            headers=headers,
            data=data,
            json=json,
            follow_redirects=follow_redirects,
            verify=verify,
            auth=auth,
        )

    def http_put(
        self,
        url: str,
        *,
        params: Any = None,
        headers: Any = None,
        data: Any = None,
        json: Any = None,
        follow_redirects: bool = False,
        verify: bool | str = True,
        auth: Any = None,
    ) -> Any:
        # Without `auth`, as secodadk does: what runs unmodified must send what it sent there.
        return self.network_call_strategy.make_request(
            "PUT",
            url,
            params=params,
            headers=headers,
            data=data,
            json=json,
            follow_redirects=follow_redirects,
            verify=verify,
        )

    def http_patch(
        self,
        url: str,
        *,
        params: Any = None,
        headers: Any = None,
        data: Any = None,
        json: Any = None,
        follow_redirects: bool = False,
        verify: bool | str = True,
        auth: Any = None,
    ) -> Any:
        return self.network_call_strategy.make_request(
            "PATCH",
            url,
            params=params,
            headers=headers,
            data=data,
            json=json,
            follow_redirects=follow_redirects,
            verify=verify,
            auth=auth,
        )

    def http_delete(
        self,
        url: str,
        *,
        params: Any = None,
        headers: Any = None,
        data: Any = None,
        json: Any = None,
        follow_redirects: bool = False,
        verify: bool | str = True,
        auth: Any = None,
    ) -> Any:
        return self.network_call_strategy.make_request(
            "DELETE",
            url,
            params=params,
            headers=headers,
            data=data,
            json=json,
            follow_redirects=follow_redirects,
            verify=verify,
            auth=auth,
        )
