"""TLS contexts: one for each way to check the server's certificate, with and without one's own."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from anyio import to_thread

from secoda_async.errors import ConfigurationError

Cert = str | tuple[str, str] | tuple[str, str, str]
_NO_PASSWORD: Final = b""  # without any, OpenSSL would ask the terminal


class Contexts:
    """Makes each context once, since a context is a pool of connections to aiohttp.

    ``cert`` is the client certificate: a file with certificate and key, or (certificate, key), or both and the
    password. ``of`` raises ConfigurationError where a file cannot be read.
    """

    def __init__(self, cert: Cert | None = None) -> None:
        self._cert = (cert,) if isinstance(cert, str) else cert
        self._contexts: dict[tuple[bool | str, bool], ssl.SSLContext] = {}

    async def of(self, verify: bool | str, *, with_cert: bool) -> ssl.SSLContext:
        """The context; ``with_cert`` says whether the server is the one that the client certificate is for."""
        key = (verify, with_cert)
        return self._contexts.get(key) or await self._make(key)

    async def _make(self, key: tuple[bool | str, bool]) -> ssl.SSLContext:
        verify, with_cert = key
        context = await to_thread.run_sync(_context, verify)
        if with_cert and self._cert is not None:
            await to_thread.run_sync(_load_cert, context, *self._cert)
        return self._contexts.setdefault(key, context)  # of those that made it at once all use one


def _context(verify: bool | str) -> ssl.SSLContext:
    if verify is True:
        return ssl.create_default_context()
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    folder = Path(verify).is_dir()
    try:
        return ssl.create_default_context(cafile=None if folder else verify, capath=verify if folder else None)
    except OSError as exc:
        raise ConfigurationError(f"verify={verify!r}: the CA file cannot be read ({exc})") from exc


def _load_cert(context: ssl.SSLContext, cert: str, key: str | None = None, password: str | None = None) -> None:
    try:
        context.load_cert_chain(cert, key, password or _NO_PASSWORD)
    except OSError as exc:
        files = f"{cert!r}" if key is None else f"{cert!r} with the key {key!r}"
        raise ConfigurationError(
            f"cert: {files} cannot be loaded ({exc.strerror or exc}); check the files, and the password of the key"
        ) from None
