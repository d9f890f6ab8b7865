"""Docstrings of public functions give the shapes of arrays, the units of times, and the errors that they raise."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT

from search import arrays, errors

PACKAGES = ("search", "indexer", "api", "training")
_ARRAYS = {"ndarray", "NDArray", "Tensor"} | {name for name in vars(arrays) if name.endswith(("Array", "Rows"))}
#: `(n, d)`, `(n,)`, `(height, width, 3)`; or another docstring that says it: "As `embed`.", "See Space."
_SIZE = r"(?:len\(\w+\)|\w+(?: ?[-+*] ?\w+)?|\.\.\.)"
_SHAPE = re.compile(rf"`[^`]*\((?:(?:{_SIZE}, ?)+(?:{_SIZE})?|\.\.\.)\)|\b(?:As|See) `?[\w.]+`?")
#: names of which nobody knows whether they are seconds, milliseconds or a point in time
_TIMES = re.compile(r"(?:^|_)(?:time|timeout|duration|wait|delay|interval|pause|period|patience|age)$")
#: how a docstring names the unit or the clock of a time that is not called `..._seconds`
_UNIT = re.compile(r"\bseconds?\b|\bepoch\b|\bclock\b")
_ERRORS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
#: What is said of these is the help of a command, the description of a route or of a tool; callers get their errors as
#: an exit status, a problem document or a tool's error.
FACES = ("api/cli/", "api/routes/", "api/mcp/")


@dataclass(frozen=True)
class Function:
    where: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    text: str  # its docstring and, for a method, that of its class

    @property
    def annotations(self) -> str:
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        given = [argument.annotation for argument in every] + [self.node.returns]
        return " ".join(ast.unparse(annotation) for annotation in given if annotation)


def public_functions() -> Iterator[Function]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            yield from _in(tree, path.relative_to(ROOT), "")


def _in(scope: ast.Module | ast.ClassDef, path: Path, above: str) -> Iterator[Function]:
    for node in scope.body:
        if node_is_private(node):
            continue
        if isinstance(node, ast.ClassDef):
            yield from _in(node, path, ast.get_docstring(node) or "")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            text = f"{ast.get_docstring(node) or ''}\n{above}"
            yield Function(f"{path}:{node.lineno} {node.name}", node, text)


def node_is_private(node: ast.AST) -> bool:
    name = getattr(node, "name", "")
    return name.startswith("_") and name not in ("__init__", "__call__")


def test_arrays_have_shapes() -> None:
    wrong = [
        function.where
        for function in public_functions()
        if _ARRAYS & set(re.findall(r"\w+", function.annotations)) and not _SHAPE.search(function.text)
    ]
    assert not wrong, "\n".join(wrong)


def test_times_have_units() -> None:
    wrong = [
        f"{function.where}: {argument.arg}"
        for function in public_functions()
        for argument in (*function.node.args.posonlyargs, *function.node.args.args, *function.node.args.kwonlyargs)
        if argument.annotation
        and re.search(r"\bfloat\b", ast.unparse(argument.annotation))
        and _TIMES.search(argument.arg)
        and not _UNIT.search(function.text)
    ]
    assert not wrong, "\n".join(wrong)


def test_errors_are_named() -> None:
    """Those of its own `raise` statements. A base class stands for the classes below it."""
    wrong = [
        f"{function.where}: {', '.join(sorted(missing))}"
        for function in public_functions()
        if not function.where.startswith(FACES)
        and (missing := {name for name in raised(function.node) if not named(name, function.text)})
    ]
    assert not wrong, "\n".join(wrong)


def named(error: str, text: str) -> bool:
    families = {kind.__name__ for kind in _ERRORS[error].__mro__} & _ERRORS.keys()
    return bool(families & set(re.findall(r"\w+", text))) or bool(re.search(r"\b(?:As|See) `?[\w.]+`?", text))


def raised(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The errors of Medley in its own `raise` statements, without those of functions inside it."""
    names: set[str] = set()
    nodes: list[ast.AST] = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(error, ast.Name):
                names.add(error.id)
        nodes += ast.iter_child_nodes(node)
    return names & _ERRORS.keys()
