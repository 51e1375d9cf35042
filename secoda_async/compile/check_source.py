"""Whether an integration can be compiled: what has no counterpart under plain secodadk is refused, with its line."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from typing_extensions import override

from secoda_async.compile.bundle import Bundle, bindings

_BROUGHT: Final = frozenset({"secodadk", "httpx", "pydantic", "typing_extensions"})
_LOOPS: Final = frozenset({"anyio", "trio", "uvloop", "aiohttp", "aiolimiter"})
_HERE_ONLY: Final = {
    "http_stream": "a stream needs an event loop; read the whole body with http_get",
    "run": "only start() is there",
    "report": "there is no report",
    "current_run": "there is no run to look at",
    "configure": "settings are fixed",
    "settings": "there are no settings",
}
_CALLS: Final = frozenset({"http_get", "http_post", "http_put", "http_patch", "http_delete", "paginate"})
_DROPPED: Final = ("retry", "timeout")
_NONE: Final = "secodadk has none"
_DROPPED_SETTINGS: Final = {
    **dict.fromkeys((*_DROPPED, "concurrency", "watchdog", "max_body"), _NONE),
    "allowed_hosts": "a URL of the source may name any host; it gets no credentials there",
    "enforce_endpoints": "secodadk asks whatever it is told",
    "refuse_private": "secodadk connects to any address",
    "allow_losses": "a loss ends the compiled file with an error",
    "trust_env": "httpx takes proxies from the environment, always",
    "proxy": "set HTTPS_PROXY where it runs",
}
_NEEDED_SETTINGS: Final = {
    "cookies": "secodadk forgets cookies after each request; send the token in a header",
    "cert": "secodadk sends no client certificate",
}
_OAUTH: Final = "OAuth needs a token that is renewed while the integration runs"
_NO_COUNTERPART: Final = {
    "OAuth2ClientCredentials": _OAUTH,
    "OAuth2RefreshToken": _OAUTH,
    "RenewableAuth": "credentials that are renewed while the integration runs have no counterpart",
    "Carry": "there is no accepted sync to carry records over from",
}
_NO_STAR: Final = "write the names that are used in place of *"
_NO_LOOP: Final = "of asyncio only gather is there, since no loop runs"


class Problem(NamedTuple):
    """Something at a line."""

    line: int
    message: str


class Checked(NamedTuple):
    """What was found in a source."""

    refused: list[Problem]
    notes: list[Problem]
    """What is left out, without harm to what is extracted."""
    uses_paging: bool


def check_source(tree: ast.Module, class_name: str, runtime: Bundle) -> Checked:
    """Look at a whole module. ``runtime`` is what its names must not clash with, and may be imported from."""
    if (line := _synchronous_line(tree, class_name)) is not None:
        return Checked([Problem(line, "extract is synchronous, so secodadk takes the file as it is")], [], False)
    visitor = _Visitor(runtime)
    visitor.visit(tree)
    problems = [*visitor.refused, *_class_problems(tree, class_name), *_clashes(tree, runtime)]
    return Checked(sorted(set(problems)), sorted(set(visitor.notes)), visitor.uses_paging)


def _synchronous_line(tree: ast.Module, class_name: str) -> int | None:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name]
    found = [node for one in classes for node in one.body if isinstance(node, ast.FunctionDef)]
    return next((node.lineno for node in found if node.name == "extract"), None)


def _class_problems(tree: ast.Module, class_name: str) -> Iterator[Problem]:
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name]
    if not found:
        yield Problem(1, f"there is no class {class_name} at the top of the file")
    elif not any(isinstance(node, ast.AsyncFunctionDef) and node.name == "extract" for node in found[-1].body):
        yield Problem(found[-1].lineno, f"{class_name} has no `async def extract` of its own")


def _clashes(tree: ast.Module, runtime: Bundle) -> Iterator[Problem]:
    for binding in bindings(tree):
        is_theirs = binding.imported in (f"from secoda_async import {binding.name}", "from asyncio import gather")
        if not is_theirs and runtime.meets(binding):
            yield Problem(binding.line, f"{binding.name} is also a name that the compiled file needs; rename it")


def _assigned(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return [name]
    return []


class _Visitor(ast.NodeVisitor):
    def __init__(self, runtime: Bundle) -> None:
        self.refused: list[Problem] = []
        self.notes: list[Problem] = []
        self.uses_paging = False
        self._runtime = runtime
        self._asyncio: set[str] = set()

    def _refuse(self, node: ast.stmt | ast.expr, message: str) -> None:
        self.refused.append(Problem(node.lineno, message))

    @override
    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name == "asyncio":
                self._asyncio.add(alias.asname or "asyncio")
            elif alias.name.partition(".")[0] == "secoda_async":
                self._refuse(node, "write `from secoda_async import …`, with the names that are used")
            else:
                self._module(node, alias.name)

    @override
    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self._refuse(node, "a relative import: the compiled integration is one file, so move what is used into it")
        elif node.module == "asyncio":
            for alias in node.names:
                if alias.name != "gather":
                    self._refuse(node, f"asyncio.{alias.name}: {_NO_LOOP}")
        elif node.module == "secoda_async":
            for alias in node.names:
                self._imported(node, alias.name)
        else:
            self._module(node, node.module or "")
            if node.names[0].name == "*":
                self._refuse(node, _NO_STAR)

    def _imported(self, node: ast.ImportFrom, name: str) -> None:
        if name == "*":
            self._refuse(node, _NO_STAR)
        elif name not in self._runtime.names or name.startswith("_"):
            why = _NO_COUNTERPART.get(name, "it has no counterpart under plain secodadk")
            self._refuse(node, f"{name}: {why}")
        elif name in ("Pager", "Page", "Ask"):
            self.uses_paging = True  # for its own pager, or an annotation

    def _module(self, node: ast.stmt, module: str) -> None:
        root = module.partition(".")[0]
        if root == "asyncio":
            self._refuse(node, f"{module}: {_NO_LOOP}")
        elif root in _LOOPS:
            self._refuse(node, f"{root} needs an event loop, and none runs")
        elif root == "secoda_async":
            self._refuse(node, f"{module} is none of the public names; import from secoda_async")
        elif root not in _BROUGHT and root not in sys.stdlib_module_names:
            self._refuse(
                node,
                f"import of {module}: the compiled integration is one file, so a module of your own must move into it, "
                "and secodadk brings no other packages than httpx and pydantic",
            )

    @override
    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name):
            if node.value.id in self._asyncio and node.attr != "gather":
                self._refuse(node, f"asyncio.{node.attr}: {_NO_LOOP}")
            if node.value.id == "self" and node.attr in _HERE_ONLY:
                self._refuse(node, f"self.{node.attr}: {_HERE_ONLY[node.attr]}")
        self.generic_visit(node)

    @override
    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        self.uses_paging |= called == "paginate"
        for keyword in node.keywords:
            if called in _CALLS and keyword.arg in _DROPPED:
                self.notes.append(Problem(keyword.value.lineno, f"{keyword.arg}= is dropped: secodadk has none"))
            if called in ("scope", "for_each") and keyword.arg == "on_error":
                self._policy(keyword.value)
        self.generic_visit(node)

    def _policy(self, value: ast.expr) -> None:
        match value:
            case ast.Constant(value="fail") | ast.Call(func=ast.Name(id="Skip")):
                return
            case ast.Constant(value="carry") | ast.Call(func=ast.Name(id="Carry")):
                self._refuse(value, "on_error carries records over from an accepted sync, and there is none to read")
            case _:
                self._refuse(value, 'on_error must stand here as "fail" or Skip(…), so that it can be checked')

    @override
    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if any(isinstance(base, ast.Name) and base.id == "Auth" for base in node.bases):
            self._refuse(node, f"{node.name}: an Auth of your own signs requests of another kind than secodadk's")
        for statement in node.body:
            for name in _assigned(statement):
                if name in _DROPPED_SETTINGS:
                    self.notes.append(Problem(statement.lineno, f"{name} is dropped: {_DROPPED_SETTINGS[name]}"))
                elif name in _NEEDED_SETTINGS:
                    self._refuse(statement, f"{name}: {_NEEDED_SETTINGS[name]}")
        self.generic_visit(node)
