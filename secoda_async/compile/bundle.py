"""The text that a compiled file carries along."""

from __future__ import annotations

import ast
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

# One below the other, so that each finds the names of those above it.
_PAGING: Final = ("paths", "page", "items", "pagers", "guess", "drift")
_FROM_ELSEWHERE: Final = frozenset({"secoda_async", "multidict", "orjson", "yarl", "__future__"})
# What the modules of pagination import, as the runtime has it.
_IN_PLACE: Final = '''class orjson:
    """The part of orjson that is used below."""

    JSONDecodeError = _json.JSONDecodeError
    loads = staticmethod(_json.loads)

    @staticmethod
    def dumps(value):
        return _json.dumps(value).encode()


CIMultiDict = httpx.Headers
JSON_TYPE = "application/json"
encode_json = orjson.dumps
'''


class Bundle(NamedTuple):
    """A runtime, and the names that it binds at the top of a module."""

    text: str
    names: frozenset[str]
    imported: frozenset[str]
    """Names that it imports as anybody else would, so that both may."""


@cache
def bundle(*, with_paging: bool) -> Bundle:
    """The runtime; ``with_paging``: with pagination as well, which is the package's own modules of it."""
    parts = [_read("compile", "runtime")]
    if with_paging:
        parts += [_IN_PLACE, *(_read("pagination", name) for name in _PAGING), _read("compile", "runtime_walk")]
    split = [_split(part) for part in parts]
    imports = dict.fromkeys(line for found, _ in split for line in found)
    text = "\n".join([*imports, "", "", "\n\n\n".join(rest.strip("\n") for _, rest in split), ""])
    tree = ast.parse(text)
    imported = _bound([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)])
    return Bundle(text, _bound(tree.body), imported)


def bound_by(node: ast.stmt) -> list[str]:
    """The names that a statement binds at the top of a module."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [(alias.asname or alias.name).partition(".")[0] for alias in names]
    return [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]


def _bound(nodes: list[ast.stmt]) -> frozenset[str]:
    return frozenset(name for node in nodes for name in bound_by(node))


def _read(room: str, name: str) -> str:
    return files(f"secoda_async.{room}").joinpath(f"{name}.py").read_text("utf-8")


def _split(text: str) -> tuple[list[str], str]:
    """The imports of a module, without those of what is not there, and the rest without its docstring."""
    lines = text.splitlines()
    imports: list[str] = []
    tree = ast.parse(text)
    for node in tree.body:
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        if not is_import and not (node is tree.body[0] and isinstance(node, ast.Expr)):
            continue
        assert node.end_lineno is not None
        lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.names[0].name if isinstance(node, ast.Import) else node.module or ""
            if module.partition(".")[0] not in _FROM_ELSEWHERE:
                imports.append(ast.unparse(node))
    return imports, "\n".join(lines)
