"""Where a workspace is, and whether a key may be sent there."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from yarl import URL

from secoda_async.errors import ConfigurationError
from secoda_async.network.encode import BaseUrl
from secoda_async.redact import Redactor

REGIONS: Final = {
    "us": "https://api.secoda.co",
    "eu": "https://eapi.secoda.co",
    "apac": "https://aapi.secoda.co",
}
"""Short names of the hosted platform's regions."""


def resolve_base_url(base_url: str, *, insecure: bool = False) -> URL:
    """The URL of a workspace's API; a region's short name, in any case, stands for its URL.

    Raises ConfigurationError where it is no http URL, or one over which a key would be sent readable for everybody on
    the way: plain http to another machine, unless ``insecure`` says so.
    """
    if not isinstance(base_url, str):
        raise ConfigurationError(f"base_url must be a URL or one of {', '.join(REGIONS)}, not {base_url!r}")
    try:
        url = BaseUrl(REGIONS.get(base_url.strip().lower(), base_url)).resolve("")
    except (ConfigurationError, ValueError) as error:
        shown = Redactor()(str(error))
        raise ConfigurationError(f"{shown}; or one of {', '.join(REGIONS)}") from None
    if url.raw_user or url.raw_password:
        raise ConfigurationError("base_url must carry no user name and no password; the API key is api_key=")
    if url.scheme == "http" and not insecure and not _is_loopback(url.host or ""):
        raise ConfigurationError(
            f"base_url {url.origin()} is plain http, over which the API key and the catalog could be read on the way; "
            "write https://, or allow it with --insecure-http (insecure=True)"
        )
    return url


def catalog_url(base: URL) -> str:
    """The catalog's URL: documented below ``/api/v1``, of which a base may hold all or a part."""
    path = base.raw_path.rstrip("/")
    rest = "" if path.endswith("/v1") else "/v1" if path.endswith("/api") else "/api/v1"
    return str(base.with_path(f"{path}{rest}/resource/catalog", encoded=True))


def host_name(url: URL) -> str:
    """The host of a workspace, lower-case, with its port where that is not the scheme's own."""
    host = (url.raw_host or "").lower()
    host = f"[{host}]" if ":" in host else host
    return host if url.is_default_port() else f"{host}:{url.port}"


def _is_loopback(host: str) -> bool:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
