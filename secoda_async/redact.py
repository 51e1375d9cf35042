"""The one way by which text of a request reaches a log, an error or a report."""

import base64
import html
import logging
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

import orjson

from secoda_async.settings import Input

MASK: Final = "[redacted]"
CUT: Final = "…"  # ends a text that was cut, maybe in the middle of a secret
_SHORT: Final = 4  # a shorter value would blot out innocent text, so it is masked only where it is a whole field

_SECRET_NAME: Final = re.compile(
    r"token|secret|passw|pwd|api[-_]?key|apikey|auth(?!or(?!i[sz]))|signature|credential|session|^key$|^sig$|^code$",
    re.IGNORECASE,
)
_QUERY_PAIR: Final = re.compile(r"(?P<lead>[?&;])(?P<name>[^=&;#\s'\"<>]+)=(?P<value>[^&;#\s'\"<>]*)")
_USERINFO: Final = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/?#\s'\"<>]*@", re.IGNORECASE)
_AUTHORIZATION: Final = re.compile(r"\b(?P<scheme>Basic|Bearer)\s+[A-Za-z0-9._~+/=-]{4,}")


def looks_secret(name: str) -> bool:
    """Whether a header, parameter or field of this name usually carries a credential."""
    return _SECRET_NAME.search(name) is not None


class Redactor:
    """Masks the values of credentials, and whatever looks like one, in a text.

    Usage: ``redact = Redactor.of(credentials, inputs); log.info("%s", redact(url))``.

    A value is masked as it is, URL-encoded, escaped (JSON, Python, HTML) and in base64, and so is what is left of it
    in front of `CUT`; values under 4 characters only as the whole of a field (a query parameter), since they occur in
    innocent text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        plain = {form for secret in secrets for form in (secret, secret.strip()) if form}
        self._whole = {secret for secret in plain if len(secret) < _SHORT}
        long = plain - self._whole
        forms = {*long, *(form for secret in long for form in _base64_forms(secret))}
        # The longest first: a secret may be a part of another.
        ordered = sorted(forms, key=len, reverse=True)
        self._forms = re.compile("|".join(map(_spellings, ordered))) if ordered else None
        self._cut_forms = {spelt for form in forms for spelt in (form, *_usual_spellings(form))}

    @classmethod
    def of(cls, credentials: Mapping[str, object], inputs: Mapping[str, Input] | None = None) -> "Redactor":
        """From an integration's credentials: each is secret unless its input says otherwise.

        Only userinfo and query of a URL-valued credential are secret where no input declares it.
        """
        secrets: list[str] = []
        for name, value in credentials.items():
            declared = inputs.get(name) if inputs is not None else None
            if declared is not None and not declared.secret:
                continue
            for text in _texts(value):
                is_url = "://" in text
                if declared is not None or not is_url:
                    secrets.append(text)
                if is_url:
                    secrets.extend(_url_secrets(text))
        return cls(secrets)

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        if self._forms is not None:
            text = self._forms.sub(MASK, text)
            if CUT in text:
                text = CUT.join(map(self._without_cut_secret, text.split(CUT)))
        text = _USERINFO.sub(rf"\g<scheme>{MASK}@", text)
        text = _AUTHORIZATION.sub(rf"\g<scheme> {MASK}", text)
        return _QUERY_PAIR.sub(self._pair, text)

    def _without_cut_secret(self, text: str) -> str:
        longest = 0
        for form in self._cut_forms:
            for length in range(min(len(form) - 1, len(text)), max(_SHORT - 1, longest), -1):
                if text.endswith(form[:length]):
                    longest = length
                    break
        return text[:-longest] + MASK if longest else text

    def _pair(self, match: re.Match[str]) -> str:
        value = match["value"]
        if looks_secret(match["name"]) or value in self._whole or unquote_plus(value) in self._whole:
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
            document = _document(value)
            if document is None or "://" not in value:  # a document is no URL, whatever it holds
                yield value
            yield from _texts(document)
        case bytes():
            yield from _texts(value.decode(errors="replace"))
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


def _document(text: str) -> object:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _url_secrets(text: str) -> list[str]:
    try:
        parts = urlsplit(text)
        userinfo = [part for part in (parts.username, parts.password) if part]
    except ValueError:
        return [text]
    values = [pair.partition("=")[2] for pair in parts.query.split("&")]
    return [*userinfo, *map(unquote, userinfo), *values, *map(unquote_plus, values)]


def _spellings(form: str) -> str:
    """A pattern for a text in any mixture of the ways in which a URL, JSON, Python or HTML may write it."""
    mixed = "".join(map(_spelling_of_run, re.split(r"(\s+|\\+)", form)))
    return f"{mixed}|{re.escape(form)}"


def _spelling_of_run(run: str) -> str:
    if run.startswith("\\"):
        return rf"(?:{_BACKSLASH}|&#0*92;)++"
    if run.isspace():  # spaces and line ends are drawn together where a body is shown on one line
        return f"(?:{'|'.join(sorted({_spelling(char) for char in run}))}|\\s|\\+)+"
    return "".join(map(_spelling, run))


def _spelling(char: str) -> str:
    if char.isascii() and (char.isalnum() or char in "-._"):
        return re.escape(char)
    code = ord(char)
    units = char.encode("utf-16-be", "surrogatepass")
    ways = {
        re.escape(char),
        re.escape(html.escape(char)),
        f"&#0*{code};",
        "".join(f"%(?:25)*{octet:02x}" for octet in char.encode("utf-8", "surrogatepass")),
        rf"{_AFTER_BACKSLASH}u{units[:2].hex()}"
        + "".join(rf"{_BACKSLASH}++u{units[i : i + 2].hex()}" for i in range(2, len(units), 2)),
        rf"{_AFTER_BACKSLASH}x{code:02x}" if code < 2**8 else rf"{_AFTER_BACKSLASH}U{code:08x}",
    }
    if char in _ESCAPES:
        ways.add(_AFTER_BACKSLASH + _ESCAPES[char])
    lead = "" if char == "%" else f"{_BACKSLASH}*+"  # else a secret's own %5C would be taken for a backslash
    return f"(?i:{lead}(?:{'|'.join(sorted(ways, key=len, reverse=True))}))"


# Possessive, so that a body full of backslashes takes no longer than any other.
_BACKSLASH: Final = r"(?:\\|%(?:25)*5[cC])"
_AFTER_BACKSLASH: Final = r"(?<=[\\cC])"
_ESCAPES: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


def _usual_spellings(form: str) -> Iterable[str]:
    return (
        quote(form, safe="", errors="replace"),
        quote_plus(form, errors="replace"),
        repr(form)[1:-1],
        " ".join(form.split()),
    )


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
        if len(stable) >= _SHORT:
            yield stable
            yield stable.translate({43: "-", 47: "_"})
