import pytest

from secoda_async.wording import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 records"), (1, "1 record"), (2, "2 records"), (9999, "9,999 records")]
)
def test_a_number_has_its_noun(number: int, said: str) -> None:
    assert counted(number, "record") == said
