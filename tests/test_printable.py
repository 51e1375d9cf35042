"""Text of others cannot do anything to a terminal, and is of bounded length."""

from hypothesis import given
from hypothesis import strategies as st

from secoda_async.printable import printable


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 50))
def test_whatever_a_text_is_what_is_shown_of_it_is_printable_and_bounded(text: str, most: int) -> None:
    shown = printable(text, most)
    assert shown.isprintable()
    assert len(shown) <= 10 * most
    assert shown == text or len(text) > most or not text.isprintable()


def test_what_a_terminal_would_obey_is_spelt_out_and_a_cut_is_shown() -> None:
    assert printable("\ud800é\x00\x1b") == r"\ud800é\x00\x1b"
    assert printable("x" * 121) == "x" * 119 + "…"
