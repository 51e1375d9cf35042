"""How much of what `make test-long` tries in full is tried by `make test`."""

from hypothesis import settings


def examples(full: int, *, fast: int) -> int:
    """Usage: ``@settings(max_examples=examples(200, fast=50))``, where one takes milliseconds."""
    return fast if settings.get_current_profile_name() == "fast" else full
