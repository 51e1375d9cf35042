"""An asynchronous integration as one file for plain secodadk."""

from __future__ import annotations

import ast
import re
from typing import Final, NamedTuple

from secoda_async.compile.bundle import bundle
from secoda_async.compile.check_source import Problem, check_source
from secoda_async.errors import ConfigurationError
from secoda_async.version import __version__

_BEGIN: Final = f"""# Compiled by secoda-async {__version__}: compile the integration again instead of editing this.
# Down to the next such line stands what it needs to run under plain secodadk.
# ruff: noqa
# mypy: ignore-errors
"""
_END: Final = "# From here on the integration stands as it was written."
_GATHER: Final = "{} = type('asyncio', (), {{'gather': staticmethod(gather)}})"


class Compiled(NamedTuple):
    """A file, and what a reader should know of it."""

    text: str
    notes: list[Problem]


def compile_source(source: str, class_name: str, *, name: str) -> Compiled:
    """Compile the integration ``class_name`` of a module; ``name`` is what the module is called in an error.

    Raises ConfigurationError, with every line that stands in the way, where it cannot be.
    """
    try:
        tree = ast.parse(source, name)
    except (SyntaxError, ValueError) as exc:
        raise ConfigurationError(f"{name} is no Python: {exc}") from None
    checked = check_source(tree, class_name, bundle(with_paging=True))
    if checked.refused:
        told = "".join(f"\n  {name}:{line}: {message}" for line, message in checked.refused)
        raise ConfigurationError(f"{class_name} cannot be compiled for plain secodadk:{told}")
    # As Python counts them: splitlines() would split at a form feed, too.
    lines = re.split("\r\n|\r|\n", source)
    top = _top(tree, name)
    head = "".join(f"{line}\n" for line in lines[:top])
    _rewrite(tree, lines, class_name)
    runtime = bundle(with_paging=checked.uses_paging)
    body = "\n".join(lines[top:]).strip("\n")
    text = f"{head}{_BEGIN}{runtime.text}\n\n{_END}\n\n{body}\n"
    compile(text, name, "exec", dont_inherit=True)
    return Compiled(text, checked.notes)


def _top(tree: ast.Module, name: str) -> int:
    """How many lines must stay first: docstring, and ``from __future__``."""
    top = 0
    for node in tree.body:
        is_docstring = node is tree.body[0] and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            if node.lineno <= top:
                raise ConfigurationError(f"{name}:{top}: write what follows the semicolon on a line of its own")
            break
        top = node.end_lineno or top
    return top


def _rewrite(tree: ast.Module, lines: list[str], class_name: str) -> None:
    """Put what the runtime has in the place of imports, line for line, and let secodadk call the class."""
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    # From the end, so that what is put in moves nothing that is still to be found.
    for node in sorted(statements, key=lambda one: (one.lineno, one.col_offset), reverse=True):
        assert node.end_lineno is not None
        if isinstance(node, ast.ClassDef) and node.name == class_name and node in tree.body:
            lines[node.end_lineno - 1] += f"\n\n\n{class_name}.extract = _synchronous({class_name}.extract)"
        elif isinstance(node, ast.Import | ast.ImportFrom) and (kept := _in_place_of(node)) is not None:
            after = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
            before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
            is_alone = not before and after.lstrip()[:1] in ("", "#")
            text = "; ".join(kept) or ("" if is_alone else "pass")
            lines[node.lineno - 1] = f"{before}{text}{after}".rstrip()
            lines[node.lineno : node.end_lineno] = [""] * (node.end_lineno - node.lineno)


def _in_place_of(node: ast.Import | ast.ImportFrom) -> list[str] | None:
    """The statements that stand for an import; None: it stays."""
    if isinstance(node, ast.ImportFrom):
        if node.module not in ("secoda_async", "asyncio"):
            return None
        return [f"{alias.asname} = {alias.name}" for alias in node.names if alias.asname not in (None, alias.name)]
    loops = [alias for alias in node.names if alias.name == "asyncio"]
    if not loops:
        return None
    others = [alias for alias in node.names if alias.name != "asyncio"]
    kept = [ast.unparse(ast.Import(names=others))] if others else []
    return [*kept, *(_GATHER.format(alias.asname or alias.name) for alias in loops)]
