"""Every way in which a URL, JSON, Python, HTML or base64 may spell a text, to find it however it was written."""

import base64
import html
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

_LEAST: Final = 4  # a shorter piece of base64 occurs in innocent text


def spelling_pattern(form: str) -> str:
    """A pattern for a text in any mixture of the ways in which a URL, JSON, Python or HTML may write it."""
    mixed = "".join(map(_spelling_of_run, re.split(r"(\s+|\\+)", form)))
    return f"{mixed}|{re.escape(form)}"


def _spelling_of_run(run: str) -> str:
    if run.startswith("\\"):
        return rf"(?:{_BACKSLASH}|&#0*92;)++"
    if run.isspace():  # spaces and line ends are drawn together where a body is shown on one line
        return f"(?:{'|'.join(sorted({_spelling(char) for char in run}))}|\\s|\\+|%(?:25)*2[bB])+"
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


def usual_spellings(form: str) -> Iterable[str]:
    """The spellings that a cut is looked for in."""
    return (
        quote(form, safe="", errors="replace"),
        quote_plus(form, errors="replace"),
        repr(form)[1:-1],
        " ".join(form.split()),
    )


def base64_forms(secret: str) -> Iterable[str]:
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
        if len(stable) >= _LEAST:
            yield stable
            yield stable.translate({43: "-", 47: "_"})
