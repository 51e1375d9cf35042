"""The one way by which text of a request reaches a log, an error or a report."""

import base64
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus, urlsplit

from secoda_async.settings import Input

MASK: Final = "[redacted]"
_SHORT: Final = 4  # a shorter value would blot out innocent text, so it is masked only where it is a whole field

_SECRET_NAME: Final = re.compile(
    r"token|secret|passw|pwd|api[-_]?key|apikey|auth|signature|credential|session|^key$|^sig$|^code$",
    re.IGNORECASE,
)
_QUERY_PAIR: Final = re.compile(r"(?P<lead>[?&;])(?P<name>[^=&;#\s'\"<>]+)=(?P<value>[^&;#\s'\"<>]*)")
_USERINFO: Final = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/?#\s'\"<>@]*@", re.IGNORECASE)
_AUTHORIZATION: Final = re.compile(r"\b(?P<scheme>Basic|Bearer)\s+[A-Za-z0-9._~+/=-]{4,}")


def looks_secret(name: str) -> bool:
    """Whether a header, parameter or field of this name usually carries a credential."""
    return _SECRET_NAME.search(name) is not None


class Redactor:
    """Masks the values of credentials, and whatever looks like one, in a text.

    Usage: ``redact = Redactor.of(credentials, inputs); log.info("%s", redact(url))``.

    A value is masked as it is, URL-encoded and in base64; values under 4 characters only as the whole of a field
    (a query parameter), since they occur in innocent text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        plain = {secret for secret in secrets if secret}
        self._whole = {secret for secret in plain if len(secret) < _SHORT}
        forms: set[str] = set()
        for secret in plain - self._whole:
            forms.update((secret, quote(secret, safe=""), quote_plus(secret), quote(secret)))
            forms.update(_base64_forms(secret))
        # The longest first: a secret may be a part of another.
        ordered = sorted((form for form in forms if len(form) >= _SHORT), key=len, reverse=True)
        self._forms = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, credentials: Mapping[str, object], inputs: Mapping[str, Input] | None = None) -> "Redactor":
        """From an integration's credentials: each is secret unless its input says otherwise.

        Where no inputs are given, only userinfo and query of a URL-valued credential are secret.
        """
        secrets: list[str] = []
        for name, value in credentials.items():
            if inputs is not None and name in inputs and not inputs[name].secret:
                continue
            for text in _texts(value):
                secrets.extend(_url_secrets(text) if "://" in text and inputs is None else [text])
        return cls(secrets)

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        if self._forms is not None:
            text = self._forms.sub(MASK, text)
        text = _USERINFO.sub(rf"\g<scheme>{MASK}@", text)
        text = _AUTHORIZATION.sub(rf"\g<scheme> {MASK}", text)
        return _QUERY_PAIR.sub(self._pair, text)

    def _pair(self, match: re.Match[str]) -> str:
        if looks_secret(match["name"]) or match["value"] in self._whole:
            return f"{match['lead']}{match['name']}={MASK}"
        return match[0]


class SafeLogger:
    """The package's logger with every message redacted, at every level.

    The message is only formatted where its level is on.
    """

    def __init__(self, redact: Redactor) -> None:
        self._log = logging.getLogger("secoda_async")
        self._redact = redact

    def debug(self, message: str, *args: object) -> None:
        self._emit(logging.DEBUG, message, args)

    def info(self, message: str, *args: object) -> None:
        self._emit(logging.INFO, message, args)

    def warning(self, message: str, *args: object) -> None:
        self._emit(logging.WARNING, message, args)

    def _emit(self, level: int, message: str, args: tuple[object, ...]) -> None:
        if self._log.isEnabledFor(level):
            self._log.log(level, "%s", self._redact(message % args), stacklevel=3)


def _texts(value: object) -> Iterable[str]:
    """Every string in a credential, which may itself be a document (a service account's JSON)."""
    match value:
        case str():
            yield value
        case Mapping():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
        case bool() | None:
            return
        case _:
            yield str(value)


def _url_secrets(text: str) -> list[str]:
    try:
        parts = urlsplit(text)
        userinfo = [part for part in (parts.username, parts.password) if part]
    except ValueError:
        return [text]
    return [*userinfo, *(pair.partition("=")[2] for pair in parts.query.split("&"))]


def _base64_forms(secret: str) -> Iterable[str]:
    """What base64 makes of a secret wherever it stands in a longer text: its three alignments, ends cut.

    ``user:secret`` in a basic auth header is the usual case.
    """
    raw = secret.encode("utf-8", "surrogatepass")
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + raw).decode()
        start = (0, 2, 3)[lead]
        # The characters that also depend on the text's neighbours are left out.
        stop = len(encoded) - (0, 3, 2)[(lead + len(raw)) % 3]
        stable = encoded[start:stop]
        if len(stable) >= 2 * _SHORT:
            yield stable
            yield stable.translate({43: "-", 47: "_"})
