"""Whether the pages of a listing add up: repeats, gaps, and totals that are not met."""

from __future__ import annotations

from typing import Final

import orjson

from secoda_async.pagination.page import Page, as_count

_KEPT: Final = 2**20  # digests of pages; a listing that repeats itself after a million pages is not found


class Audit:
    """Looks at each page in its turn. What does not add up goes to the page's ``drift``.

    Memory: about 80 bytes a page, and never more than a million pages' worth.
    """

    def __init__(self) -> None:
        self.total_path: str | None = None
        """Where an answer declares the number of items in all."""
        self._pages: set[int] = set()
        self._requests: set[int] = set()
        self.count = 0
        """Items that came."""
        self.total: int | None = None
        """Items that the last answer to say so declared."""
        self.before = 0
        """Items on the last page."""
        self.largest = 0
        """Items on the fullest page."""

    def is_new_request(self, key: object) -> bool:
        """Whether this was not asked before in this listing."""
        return _is_new(self._requests, hash(key))

    def take(self, page: Page, *, planned: bool) -> bool:
        """Count a page; whether its items are new, and not those of a page that came before.

        ``planned`` says that the first answer promised it.
        """
        self._compare_total(page)
        came = len(page.items)
        is_new = not came or _is_new(self._pages, hash(orjson.dumps(page.items)))
        if not is_new:
            page.drift(
                "it holds the same items as a page before: the server repeats itself, or does not know what it was "
                f"asked by ({_asked(page)})"
            )
        elif not came and planned and (page.ask.expected or self.is_short):
            page.drift(f"it is empty, in the middle of {self._declared()}; {self.count} items came before it")
        if is_new:
            self.count += came
        if self.total is not None and self.count > self.total:
            page.drift(f"{self.count} items have come, more than the {self.total} that it declares")
        self.before, self.largest = came, max(self.largest, came)
        return is_new

    @property
    def is_short(self) -> bool:
        """Whether fewer items came than were declared."""
        return self.total is not None and self.count < self.total

    def end(self, last: Page) -> None:
        """Compare what came with what was declared."""
        if self.is_short:
            last.drift(f"the listing ends after {self.count} items, of {self.total} that it declares")

    def _compare_total(self, page: Page) -> None:
        path = self.total_path
        if path is None:
            return
        if page.number == 1:
            self.total = page.count(path)
            return
        # Some servers tell it on the first page only.
        total = as_count(page.find(path)) if page.has(path) else None
        if total is not None and total != self.total:
            before, self.total = self.total, total
            if before is not None:
                page.drift(f"{path} changed from {before} to {total} while the listing was read")

    def _declared(self) -> str:
        return "the pages that were declared" if self.total is None else f"{self.total} declared items"


def _asked(page: Page) -> str:
    values = {**page.ask.params, **page.ask.json}
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "its URL"


def _is_new(seen: set[int], digest: int) -> bool:
    if digest in seen:
        return False
    if len(seen) >= _KEPT:
        seen.pop()
    seen.add(digest)
    return True
