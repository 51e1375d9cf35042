"""Takes the credentials out of an answer that is written to disk.

Stricter about names than the redaction of logs, since what it changes can no longer be replayed as it was: a field
called ``key`` or ``code`` is data more often than not.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from secoda_async.network.message import Request, Response
from secoda_async.redact import MASK, Redactor, without_paging

_TOKEN_NAME: Final = re.compile(
    r"token(?!_?type)|secret|passw|pwd|api[-_]?key|access[-_]?key|private[-_]?key|credential|session[-_]?id|jwt"
    r"|^authorization$",
    re.IGNORECASE,
)
_SIGNATURE_NAME: Final = re.compile(r"signature|^sig$", re.IGNORECASE)
# A text in lower case without any of these holds no name of a credential; those that are common in names of data
# count only with one of the longer ones.
_WORDS: Final = ("token", "secret", "passw", "pwd", "credential", "jwt", "authorization")
_COMMON_WORDS: Final = {
    "key": ("apikey", "api_key", "api-key", "access", "private"),
    "session": ("sessionid", "session_id", "session-id"),
    "sig": ("signature", "sig="),
}
_JSON_NAME: Final = re.compile(r'"(?P<name>[^"\\]{1,100})"\s*:\s*')
_JSON_STRING: Final = r'"(?:[^"\\]++|\\.)*+"'
_JSON_VALUE: Final = re.compile(rf"{_JSON_STRING}|\[[^\[\]{{}}]*+\]|\{{[^{{}}]*+\}}")
_STRING_VALUE: Final = re.compile(rf"(?P<string>{_JSON_STRING})(?P<colon>\s*:)?")
_PAIR: Final = re.compile(r"(?P<lead>^|[?&;]|\\u0026)(?P<name>[\w.-]{1,100})=(?P<value>[^&;#\s'\"<>\\]+)", re.MULTILINE)
_ELEMENT: Final = re.compile(r"(?P<lead><(?:[\w-]+:)?(?P<name>[\w.-]{1,100})(?:\s[^<>]*)?>)(?P<value>[^<>]+)(?=</)")
_ATTRIBUTE: Final = re.compile(r"(?P<lead>\s(?:[\w-]+:)?(?P<name>[\w.-]{1,100})\s*=\s*[\"'])(?P<value>[^\"'<>]+)")
# The link to a next page, in JSON or in a Link header. What it calls just a token is the place of that page.
_NEXT_LINK: Final = re.compile(
    r'"@?(?:odata\.)?next(?:[-_]?page)?(?:[-_]?(?:url|uri|link|href))?"\s*:\s*(?:\{[^{}]{0,1000}?"href"\s*:\s*)?'
    r'"(?P<url>[^"\s]{1,8000})"'
    r'|<(?P<target>[^<>\s]{1,8000})>\s*;[^<>,]{0,1000}?\brel="?(?:[\w-]+ ){0,9}next\b',
    re.IGNORECASE,
)
_PAGE_TOKEN: Final = re.compile(r"(?:[?&]|\\u0026)(token=[^&;#\s'\"<>\\]+)")
# Each begins where no other match could have begun, so that no body takes longer than its length.
_JWT: Final = re.compile(r"(?<![\w.-])eyJ[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+")
_USERINFO: Final = re.compile(
    r"(?P<lead>(?<![a-zA-Z0-9+.-])[a-z][a-z0-9+.-]*+://)[^/?#\s'\"<>@:]*:[^/?#\s'\"<>@]+@", re.IGNORECASE
)
_AUTHORIZATION: Final = re.compile(r"\b(?P<lead>Basic|Bearer)\s+[A-Za-z0-9._~+/=-]{20,}")
_COOKIE: Final = re.compile(r"^\s*(?P<name>[^=;]+)=[^;]*")
# What load balancers and bot filters set on every answer: masked, but no reason to ask again.
_IDLE_COOKIE: Final = re.compile(
    r"AWSALB|AWSELB|__cf|_cf|ARRAffinity|BIGip|incap_|visid_incap|TS[0-9a-f]{6}|GCLB|ApplicationGatewayAffinity",
    re.IGNORECASE,
)
_SIGN_IN: Final = re.compile(
    r"/(?:token|tokens|oauth2?|authorize|auth|login|log[-_]in|logon|sign[-_]?in|authenticate|sessions?)(?:\.\w+)?/?$",
    re.IGNORECASE,
)
_LEARNED: Final = re.compile(r"\S{16,}")


class Clean(NamedTuple):
    """An answer as it may be written."""

    headers: list[tuple[str, str]]
    content: bytes | None
    """None where it is no text and holds a secret, so that it must not be written at all."""
    secret: bool
    """Whether something was taken out, so that another run has to ask for it anew."""


class AnswerRedactor:
    """Masks what is secret in answers, and teaches the run's `Redactor` the credentials that it finds there."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def clean(self, request: Request, response: Response) -> Clean:
        """The answer's headers and body without credentials."""
        found: set[str] = set()
        sign_in = _signs_in(request)
        headers, secret = self._headers(response, found, request)
        content, changed = self._content(response, found, request, whole=sign_in)
        self._redact.learn(value for value in found if sign_in or _LEARNED.fullmatch(value))
        return Clean(headers, content, secret or changed or sign_in)

    def head(self, request: Request, response: Response) -> Clean:
        """As `clean`, for an answer whose body is read piece by piece."""
        found: set[str] = set()
        headers, secret = self._headers(response, found, None)
        self._redact.learn(value for value in found if _LEARNED.fullmatch(value))
        return Clean(headers, b"", secret or _signs_in(request))

    def text(self, text: str, found: set[str] | None = None, asked: Request | None = None) -> str:
        """A text without credentials; those that nobody knew are added to ``found``.

        With the request that was ``asked``, the tokens of next pages are left.
        """
        found = set() if found is None else found
        text = self._redact.mask_known(text)
        if _may_name_a_credential(text.lower()):
            text = _mask_names(text, found, frozenset() if asked is None else _page_tokens(text, asked))
        if "eyJ" in text:
            text = _JWT.sub(lambda match: _take(match[0], found), text)
        if "://" in text and "@" in text:
            text = _USERINFO.sub(rf"\g<lead>{MASK}@", text)
        if "Basic" in text or "Bearer" in text:
            text = _AUTHORIZATION.sub(rf"\g<lead> {MASK}", text)
        return text

    def is_clean_binary(self, content: bytes) -> bool:
        """Whether no known secret stands in bytes that are no text, as ASCII or in UTF-16."""
        redact = self._redact
        return not any(
            redact.mask_known(text) != text
            for text in (content.decode("latin-1"), content.replace(b"\0", b"").decode("latin-1"))
        )

    def _headers(
        self, response: Response, found: set[str], asked: Request | None
    ) -> tuple[list[tuple[str, str]], bool]:
        pairs = list(response.headers.items())
        secret = False
        for index, (name, value) in enumerate(pairs):
            lowered = name.lower()
            if lowered == "set-cookie":
                clean = _COOKIE.sub(rf"\g<name>={MASK}", value)
                if _IDLE_COOKIE.match(value.strip()) is None:
                    secret = True
                    found.add(value.partition(";")[0].partition("=")[2])
            elif _names_token(name) and not value.isdigit():
                found.add(value)
                clean, secret = MASK, True
            else:
                continue
            pairs[index] = (name, clean)
        together = "\n".join(f"{name}: {value}" for name, value in pairs)
        if self.text(together, asked=asked) != together:
            pairs = [(name, self.text(value, found, asked)) for name, value in pairs]
            secret = True
        return pairs, secret

    def _content(
        self, response: Response, found: set[str], asked: Request, *, whole: bool
    ) -> tuple[bytes | None, bool]:
        content = response.content
        if not content:
            return content, False
        text, charset = _decoded(content, response.encoding)
        if "\0" in text:  # no text, whatever it decodes to
            return (content, False) if self.is_clean_binary(content) else (None, True)
        clean = self.text(text, found, asked)
        if whole and response.is_success and not text.lstrip().startswith(("{", "[", "<")):
            found.add(text.strip())  # a sign-in that answers with the bare token
            clean = MASK
        return (content, False) if clean == text else (clean.encode(charset), True)


def _decoded(content: bytes, declared: str) -> tuple[str, str]:
    """A text and the charset that gives its bytes back; Latin-1 knows every byte."""
    for charset in ("utf-8", declared):
        try:
            text = content.decode(charset)
            if text.encode(charset) == content:
                return text, charset
        except UnicodeError:
            continue
    return content.decode("latin-1"), "latin-1"


class StreamRedactor:
    """Masks what is secret in a body that comes in pieces, in bounded memory.

    Usage: write what ``feed`` gives for each piece, then what ``finish`` gives. None from either: the body is no text
    and holds a secret, or cannot be parted without parting one, so it must not be kept.
    """

    WINDOW: Final = 256 * 2**10  # characters that are looked at together
    HELD: Final = 64 * 2**10  # of them, those that wait for what follows
    _MOST: Final = 4 * WINDOW
    _STEP: Final = 8 * 2**10

    def __init__(self, answers: AnswerRedactor) -> None:
        self._answers = answers
        self._charset = "utf-8"
        self._decoder: codecs.IncrementalDecoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self.secret = False

    def feed(self, piece: bytes) -> bytes | None:
        """What may be written of what has come so far."""
        before: bytes = self._decoder.getstate()[0]
        try:
            self._text += self._decoder.decode(piece)
        except UnicodeDecodeError:
            self._use_latin_1(before + piece)
        return self._cut() if len(self._text) >= self.WINDOW else b""

    def finish(self) -> bytes | None:
        """What is left, to be written at the end."""
        if rest := self._decoder.getstate()[0]:
            self._use_latin_1(rest)
        return self._masked(self._text, self._answers.text(self._text))

    def _use_latin_1(self, rest: bytes) -> None:
        self._text = (self._text.encode(self._charset) + rest).decode("latin-1")
        self._charset = "latin-1"
        self._decoder = codecs.getincrementaldecoder("latin-1")()

    def _cut(self) -> bytes | None:
        if "\0" in self._text and not self._answers.is_clean_binary(self._text.encode(self._charset)):
            return None
        whole = self._answers.text(self._text)
        cut = len(self._text) - self.HELD
        while cut > 0:
            head, tail = self._text[:cut], self._text[cut:]
            clean = self._answers.text(head)
            # Where both parts give what the whole gives, no secret stands across the cut.
            if clean + self._answers.text(tail) == whole:
                self._text = tail
                return self._masked(head, clean)
            cut -= self._STEP
        return b"" if len(self._text) < self._MOST else None

    def _masked(self, text: str, clean: str) -> bytes | None:
        if "\0" in text and (clean != text or not self._answers.is_clean_binary(text.encode(self._charset))):
            return None
        self.secret |= clean != text
        return clean.encode(self._charset)


def _signs_in(request: Request) -> bool:
    return request.method != "GET" and _SIGN_IN.search(request.url.path) is not None


def _may_name_a_credential(lowered: str) -> bool:
    return any(word in lowered for word in _WORDS) or any(
        common in lowered and any(word in lowered for word in words) for common, words in _COMMON_WORDS.items()
    )


@lru_cache(4096)  # an API's names are the same in every answer
def _names_token(name: str) -> bool:
    return _TOKEN_NAME.search(without_paging(name)) is not None


def _take(value: str, found: set[str]) -> str:
    if MASK in value:
        return value
    found.add(value)
    return MASK


def _page_tokens(text: str, asked: Request) -> frozenset[str]:
    """The ``token=…`` of every link to a next page; what was sent along itself is the place of none."""
    if "token=" not in text:
        return frozenset()
    links = (match["url"] or match["target"] for match in _NEXT_LINK.finditer(text))
    tokens = {token for link in links for token in _PAGE_TOKEN.findall(link)}
    sent = {unquote_plus(pair.partition("=")[2]) for pair in asked.url.raw_query_string.split("&")}
    sent.update(value.removeprefix("Bearer ") for value in asked.headers.values())
    return frozenset(token for token in tokens if unquote_plus(token.partition("=")[2]) not in sent)


def _mask_names(text: str, found: set[str], page_tokens: frozenset[str]) -> str:
    """Mask what a name calls secret: in JSON (in part or whole), a query or form, or XML."""

    def mask(match: re.Match[str]) -> str:
        name = match["name"]
        if page_tokens and match[0].removeprefix(match["lead"]) in page_tokens:
            return match[0]
        if not _names_token(name) and (match.re is not _PAIR or _SIGNATURE_NAME.search(name) is None):
            return match[0]
        return match[0][: match.start("value") - match.start()] + _take(match["value"], found)

    if '"' in text:
        text = _mask_json(text, found)
    if "=" in text:
        text = _PAIR.sub(mask, text)
    if "</" in text or "/>" in text:
        text = _ATTRIBUTE.sub(mask, _ELEMENT.sub(mask, text))
    return text


def _mask_json(text: str, found: set[str]) -> str:
    parts: list[str] = []
    done = 0
    for named in _JSON_NAME.finditer(text):
        if named.start() < done or not _names_token(named["name"]):
            continue
        value = _JSON_VALUE.match(text, named.end())
        if value is not None:
            parts += (text[done : named.end()], _mask_value(value[0], found))
            done = value.end()
    return "".join([*parts, text[done:]]) if parts else text


def _mask_value(value: str, found: set[str]) -> str:
    """A string, or every string of a list or of a flat object, masked."""

    def mask(match: re.Match[str]) -> str:
        string = match["string"]
        if match["colon"] is not None or len(string) == 2:
            return match[0]
        return f'"{_take(string[1:-1], found)}"'

    return _STRING_VALUE.sub(mask, value)
