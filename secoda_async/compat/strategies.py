"""The two seams of ``secodadk``: where records go, and how requests are made."""

from __future__ import annotations

import abc
from typing import Any, Final, NoReturn

from typing_extensions import override

from secoda_async.errors import RunError
from secoda_async.models import DeclaredLineage, Resource

_OUTSIDE: Final = (
    "a secodadk integration runs by `secoda-async run FILE.py:CLASS`, and not while its file is loaded: write "
    '`if __name__ == "__main__":` above what starts it'
)


class IngestResourcesStrategy(abc.ABC):
    """Where declared records go."""

    @abc.abstractmethod
    def declare_resource(self, resource: Resource) -> None: ...

    @abc.abstractmethod
    def declare_lineage(self, lineage: DeclaredLineage) -> None: ...

    @abc.abstractmethod
    def finalize(self) -> None: ...


class NetworkCallStrategy(abc.ABC):
    """How requests are made."""

    @abc.abstractmethod
    def make_request(
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        headers: Any = None,
        data: Any = None,
        json: Any = None,
        verify: bool | str = True,
        follow_redirects: bool = False,
        auth: Any = None,
    ) -> Any: ...

    def finalize(self) -> None:
        """Called once, after ``extract``."""
        return


class DefaultIngestResourcesStrategy(IngestResourcesStrategy):
    """Stands where `secodadk` prints lines. Raises RunError: a run puts its own in this place."""

    @override
    def declare_resource(self, resource: Resource) -> NoReturn:
        raise RunError(_OUTSIDE)

    @override
    def declare_lineage(self, lineage: DeclaredLineage) -> NoReturn:
        raise RunError(_OUTSIDE)

    @override
    def finalize(self) -> None:
        return


class DefaultNetworkCallStrategy(NetworkCallStrategy):
    """Stands where `secodadk` calls httpx. Raises RunError: a run puts its own in this place."""

    @override
    def make_request(self, method: str, url: str, **options: Any) -> NoReturn:
        raise RunError(_OUTSIDE)


class JSONLIngestResourcesStrategy(DefaultIngestResourcesStrategy):
    """Stands where `secodadk` writes files, which ``--out DIR`` does here; it opens none."""

    def __init__(self, *, resources_path: str, lineages_path: str) -> None:
        self.resources_path = resources_path
        self.lineages_path = lineages_path


class EgressServerNetworkCallStrategy(DefaultNetworkCallStrategy):
    """Stands where `secodadk` asks through Secoda's egress server, which `EgressTransport` does here."""

    def __init__(self, *, egress_server_url: str, egress_server_token: str) -> None:
        self.egress_server_url = egress_server_url
        self.egress_server_headers = {"Authorization": f"Bearer {egress_server_token}"}
