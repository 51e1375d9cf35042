"""The text that a compiled file carries along."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator, Mapping
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
    needed: frozenset[str]
    """Names that its functions look up while they run: its own, and those of builtins."""
    imported: Mapping[str, str]
    """Names that it imports, and how."""

    def meets(self, binding: Binding) -> bool:
        """Whether a module's binding takes the place of something that is needed."""
        if binding.name in self.imported and binding.imported:
            how = self.imported[binding.name]
            return how != binding.imported and binding.name in self.needed and not _are_types(how, binding.imported)
        return binding.name in self.names or (binding.name in self.needed and hasattr(builtins, binding.name))


class Binding(NamedTuple):
    """A name that a module binds at its top."""

    line: int
    name: str
    imported: str = ""
    """How, where it is imported."""


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
    bound = bindings(tree)
    imported = {one.name: one.imported for one in bound if one.imported}
    return Bundle(text, frozenset(one.name for one in bound), _needed(tree), imported)


def bindings(tree: ast.Module) -> list[Binding]:
    """What a module binds at its top, inside its `if` and `try`, too, and by `global`."""
    told = [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
    return [*_bound(tree), *(Binding(node.lineno, name) for node in told for name in node.names)]


def _bound(node: ast.AST) -> Iterator[Binding]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield Binding(node.lineno, node.name)
            return
        case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return
        case ast.Import() | ast.ImportFrom():
            for alias in node.names:
                name = (alias.asname or alias.name).partition(".")[0]
                yield Binding(node.lineno, name, ast.unparse(_with_names(node, [alias])))
        case ast.Name(ctx=ast.Store()):
            yield Binding(node.lineno, node.id)
        case ast.ExceptHandler(name=str(name)):
            yield Binding(node.lineno, name)
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _with_names(node: ast.Import | ast.ImportFrom, names: list[ast.alias]) -> ast.stmt:
    return ast.Import(names) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, names, node.level)


def _needed(tree: ast.Module) -> frozenset[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = [one for node in functions for statement in node.body for one in ast.walk(statement)]
    return frozenset(one.id for one in inside if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load))


def _are_types(*imports: str) -> bool:
    """Whether what is imported serves the same from either place: `typing` has most of `collections.abc` again."""
    return all(one.startswith(("from typing", "from collections.abc ")) for one in imports)


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
