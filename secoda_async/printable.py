"""Text of others in a message for a person."""

from __future__ import annotations


def printable(text: str, most: int = 120) -> str:
    """Clipped to so many characters, and what a terminal would obey is spelt out.

    Usage: ``printable("\\x1b[2Jid")`` is ``\\\\x1b[2Jid``.
    """
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
