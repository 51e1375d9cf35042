"""What pages are made with: the template engine, how it shows values, and the parts that pages share."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import orjson

from secoda_async.errors import ConfigurationError
from secoda_async.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_LONGEST: Final = 2000  # characters of one text
_LONGEST_NAME: Final = 200  # of a heading, of a page or of a row
_SPACE: Final = "\N{NO-BREAK SPACE}"
_UNKNOWN: Final = "\N{EN DASH}"
_BLANK: Final = "(blank)"


def require_page() -> None:
    """Raises ConfigurationError where what makes a page is not installed."""
    if any(find_spec(name) is None for name in ("jinja2", "plotly")):
        raise ConfigurationError("a page needs jinja2 and plotly: pip install 'secoda-async[page]'")


def environment(package: str) -> Environment:
    """Renders a package's templates; what it shows is escaped. Blocks once, to read them.

    Raises ConfigurationError where the extra ``page`` is not installed.
    """
    require_page()
    # An extra, and only where a page is made.
    from jinja2 import DictLoader, Environment, StrictUndefined  # noqa: PLC0415

    templates = {
        file.name: file.read_text("utf-8")
        for file in (files(package) / "templates").iterdir()
        if file.name.endswith(".j2")
    }
    made = Environment(
        autoescape=True, loader=DictLoader(templates), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    made.filters.update(show=show, lines=show_lines, name=show_name, number=_number, seconds=_seconds, share=_share)
    return made


@cache
def part(package: str, name: str) -> str:
    """A style or a script of a package, as it lies there."""
    return (files(package) / "templates" / name).read_text("utf-8")


@cache
def plotly() -> str:
    """The library that draws."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 # an extra, and only where a page is made

    return str(get_plotlyjs())


def markup(text: str) -> Markup:
    """What is not escaped: of this package, of a library, or JSON of ``json_data``."""
    from markupsafe import Markup  # noqa: PLC0415 # an extra, and only where a page is made

    return Markup(text)  # noqa: S704 # see above


def json_data(value: object) -> Markup:
    """The JSON of a value, or JSON as bytes, for a script element: it ends no element and begins no comment in one."""
    json = value if isinstance(value, bytes) else orjson.dumps(value)
    return markup(json.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026").decode())


def show(text: object) -> str:
    """A text of others, clipped."""
    return printable(str(text), _LONGEST)


def show_lines(text: object, most: int = _LONGEST) -> str:
    """The same where it may be of many lines, clipped to so many characters."""
    told = str(text)
    told = told if len(told) <= most else f"{told[: most - 1]}…"
    return "\n".join(printable(line, most) for line in told.splitlines())


def show_name(text: object, most: int = _LONGEST_NAME) -> str:
    """The same where a name stands: clipped to so many characters, and never without one to read and to follow."""
    name = printable(str(text), most)
    return name if name.strip() else _BLANK


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:,.3f}{_SPACE}s" if value < 1 else f"{value:,.1f}{_SPACE}s"


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value * 100:.0f}{_SPACE}%"
