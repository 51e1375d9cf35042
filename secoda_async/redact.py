"""The one way by which text of a request reaches a log, an error or a report."""

import logging
import re
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Final
from urllib.parse import unquote, unquote_plus, urlsplit

import orjson

from secoda_async.settings import Input
from secoda_async.spelling import base64_forms, spelling_pattern, usual_spellings

MASK: Final = "[redacted]"
CUT: Final = "…"  # ends a text that was cut, maybe in the middle of a secret
_SHORT: Final = 4  # a shorter value would blot out innocent text, so it is masked only where it is a whole field

_SECRET_NAME: Final = re.compile(
    r"token|secret|passw|pwd|api[-_]?key|apikey|auth(?!or(?!i[sz]))|signature|credential|session|^key$|^sig$|^code$",
    re.IGNORECASE,
)
# A place in a list, not a credential: nextPageToken, page_token, continuationToken, $skiptoken, NextToken.
_PAGING_NAME: Final = re.compile(
    r"(?:page|paging|pagination|next|prev(?:ious)?|continuation|continue|cursor|skip|sync|delta|resume|resumption)"
    r"(?:[-_]?page)?[-_]?token|token[-_]?(?:page|cursor)",
    re.IGNORECASE,
)
_LITERAL: Final = re.compile(r"[A-Za-z0-9._-]+")  # what every way of spelling leaves as it is
_LEAST_LEARNED: Final = 8  # a shorter value that an answer brought occurs in innocent text
_LONGEST_LEARNED: Final = 4 * 2**10  # longer than any token; its pattern would be slow to make and to look for
_MOST_LEARNED: Final = 64  # the newest, so that a source full of tokens does not make every redaction slow
# Some servers write an & as \u0026 in JSON.
_QUERY_PAIR: Final = re.compile(
    r"(?P<lead>[?&;]|\\u0026)(?P<name>[^=&;#\s'\"<>\\]+)=(?P<value>(?:(?!\\u0026)[^&;#\s'\"<>])*)"
)
_USERINFO: Final = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/?#\s'\"<>]*@", re.IGNORECASE)
_AUTHORIZATION: Final = re.compile(r"\b(?P<scheme>Basic|Bearer)\s+[A-Za-z0-9._~+/=-]{4,}")


def looks_secret(name: str) -> bool:
    """Whether a header, parameter or field of this name usually carries a credential; a page token is none."""
    return _SECRET_NAME.search(without_paging(name)) is not None


def without_paging(name: str) -> str:
    """A name without what calls it a place in a list: ``page_token`` is none of a credential's."""
    return _PAGING_NAME.sub("", name)


class Redactor:
    """Masks the values of credentials, and whatever looks like one, in a text.

    Usage: ``redact = Redactor.of(credentials, inputs); log.info("%s", redact(url))``.

    A value is masked as it is, URL-encoded, escaped (JSON, Python, HTML) and in base64, and so is what is left of it
    in front of `CUT`; values under 4 characters only as the whole of a field (a query parameter), since they occur in
    innocent text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._plain = {form for secret in secrets for form in (secret, secret.strip()) if form}
        self._learned: list[str] = []
        self._growing = Lock()  # a journal's thread learns what answers bring
        self._compile()

    def _compile(self) -> None:
        self._whole = {secret for secret in self._plain if len(secret) < _SHORT}
        long = self._plain - self._whole
        forms = {*long, *(form for secret in long for form in base64_forms(secret))}
        # The longest first: a secret may be a part of another.
        ordered = sorted(forms, key=len, reverse=True)
        # A text without any of these holds no secret; looking for them costs a tenth of the pattern.
        self._literals = {max(_LITERAL.findall(form), key=len, default="") for form in forms}
        self._forms = re.compile("|".join(map(spelling_pattern, ordered))) if ordered else None
        self._cut_forms = {spelt for form in forms for spelt in (form, *usual_spellings(form))}

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

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these from here on too: credentials that the source itself gave. The newest 64 of a run are kept."""
        with self._growing:
            lengths = range(_LEAST_LEARNED, _LONGEST_LEARNED)
            new = {secret for secret in secrets if len(secret) in lengths and MASK not in secret} - self._plain
            if new:
                self._learned += sorted(new)
                self._plain = (self._plain | new).difference(self._learned[:-_MOST_LEARNED])
                self._learned = self._learned[-_MOST_LEARNED:]
                self._compile()

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these from here on too: the integration's own credentials. Cheap where all are known."""
        with self._growing:
            new = [secret for secret in secrets if secret and secret not in self._plain]
            if new:
                self._plain.update(new)
                self._compile()

    def mask_known(self, text: str) -> str:
        """The text without the values that are known to be secret, whatever else looks like one."""
        if self._forms is None or not any(literal in text for literal in self._literals):
            return text
        return self._forms.sub(MASK, text)

    def knows(self, value: str) -> bool:
        """Whether a value is one that is known to be secret, or was masked before, also as a bearer's."""
        return value in self._whole or self.mask_known(value).removeprefix("Bearer ") == MASK

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        if self._forms is not None:
            text = self.mask_known(text)
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
