"""How far a run is, in words."""

import pytest

from secoda_async.cli.progress_rows import duration, outlook_text
from secoda_async.forecast import Outlook


@pytest.mark.parametrize(
    ("outlook", "said"),
    [
        (Outlook(0, 1200, None), "0 % of about 1,200 requests"),
        (Outlook(1199, 1200, 0.2), "99 % of about 1,200 requests, about 1 s left"),
        (Outlook(1300, 1200, 100.0), "100 % of about 1,200 requests, about 2 min left"),
    ],
)
def test_it_never_says_more_than_is_known(outlook: Outlook, said: str) -> None:
    assert outlook_text(outlook) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "1 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")]
)
def test_a_time_is_as_exact_as_it_can_be(seconds: float, said: str) -> None:
    assert duration(seconds) == said
