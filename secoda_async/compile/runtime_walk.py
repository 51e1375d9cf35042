"""What a compiled file carries along where it pages: a walk, page after page. Read as text, never imported.

It stands below the modules of pagination, whose names it uses; those take the ones of the runtime for the network's.
"""

from dataclasses import replace


def _paginate(
    self, url, pager=None, *, items=None, method=None, drift="error", max_pages=None, concurrency=None, **options
):
    """The items of every page."""
    has_body = options.get("json") is not None or options.get("data") is not None
    if method is None:
        method = "POST" if has_body else "GET" if pager is None else pager.method
    found = []
    report = found.append if drift == "report" else None

    async def walk():
        async for page in _pages(self, method, url, pager, items, report, max_pages, options):
            for item in page.items:
                yield item

    return _Results(walk())


async def _pages(self, method, url, pager, path, report, max_pages, options):
    first = self._prepare_(method, url, options)
    audit = Audit()

    def items_of(page):
        nonlocal path
        if path is None and pager is not None and (found := pager.items(page)) is not None:
            return found
        if path is None:
            try:
                path = guess_items(page.body)
            except NoItemsError as exc:
                raise page.error(str(exc)) from None
        value = page.find(path) if path else page.body
        if value is None:
            page.drift(f"{path or 'the body'} is null, where a list of items was expected")
            return []
        if not isinstance(value, list):
            raise page.error(f"{path or 'the body'} is {kind_of(value)}, where a list of items was expected")
        return value

    def get(ask, number, request=None):
        request = ask.of(first, first) if request is None else request
        reply = self._request_(method, url, {**options, "_page": request})
        reply.raise_for_status()
        body = None if reply.status_code == 204 else reply.json()
        page = Page(
            number=number,
            ask=ask,
            response=reply,
            body=body,
            items=(),
            before=audit.before,
            largest=audit.largest,
            report=report,
        )
        return page if body is None and not reply.content else replace(page, items=items_of(page))

    def may_ask(page, number):
        if max_pages is None or number <= max_pages:
            return True
        page.drift(f"there are more pages than max_pages={max_pages}")
        return False

    try:
        page = get(Ask() if pager is None else pager.start(), 1)
        if pager is None:
            pager = guess_pager(page, place="json" if method == "POST" else "query")
            page = replace(page, ask=pager.start())
        audit.total_path = pager.total
        audit.is_new_request((str(page.response.request.url), page.response.request.body))
        if audit.take(page, planned=False):
            yield page
        rest = pager.rest(page)
        if rest is not None:
            start = page
            for number, ask in enumerate(rest, start=2):
                if not may_ask(start, number):
                    break
                was_empty = not page.items
                pieces = [get(ask, number)]
                while (more := pager.missing(pieces[-1])) is not None:
                    pieces.append(get(more, number))
                for page in pieces:
                    if audit.take(page, planned=True):
                        yield page
                if was_empty and not page.items:
                    break
        if rest is None or (report is not None and audit.is_short):
            while (ask := pager.after(page)) is not None:
                try:
                    request = ask.of(first, page.response.request)
                except ValueError as exc:
                    raise page.error(f"its next page is at {exc}") from None
                if not audit.is_new_request((str(request.url), request.body)):
                    page.drift(f"its next page, {request}, was asked for before: the listing runs in a circle")
                    break
                if not may_ask(page, page.number + 1):
                    break
                page = get(ask, page.number + 1, request)
                if not audit.take(page, planned=False):
                    break
                yield page
        audit.end(page)
    except PaginationError as error:
        if not options.get("optional"):
            self._losses_.append(error)
        raise


SecodaIntegration.paginate = _paginate
