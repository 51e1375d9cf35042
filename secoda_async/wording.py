"""Numbers with their nouns, as a person writes them."""


def counted(number: int, noun: str) -> str:
    """``counted(1, "record")`` is ``1 record``, ``counted(2000, "record")`` is ``2,000 records``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
