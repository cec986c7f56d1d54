"""Refuse what could make two honest machines disagree: `python -m tools.determinism_lint [PATH...]`.

It reads the syntax tree of every file of the pure rooms (machine, modules) and prints `file:line: rule: why`. Rules:

    import    a clock, chance, threads, files, sockets, loggers, databases, regular expressions, Unicode tables, floats
    float     float literals, the name `float`, true division
    set       walking a set in an order that nothing defines
    except    catching everything, which would turn a bug of one machine into an outcome
    case      case mapping and character classes, which follow the Unicode tables of the Python at hand
    builtin   hash() and id(), which differ from run to run; open(), print(), eval() and the like

There is no comment that switches a rule off. What needs one of these belongs in another room.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PATHS = ("src/tallystick/machine", "src/tallystick/modules")

FORBIDDEN_IMPORTS = frozenset(
    # clocks and chance
    "time datetime calendar zoneinfo random secrets uuid "
    # the world outside: files, processes, sockets, the machine itself
    "os io pathlib tempfile shutil glob fileinput mmap subprocess signal platform getpass sys sysconfig "
    "socket socketserver ssl select selectors http urllib ftplib smtplib "
    # more than one thing at a time
    "threading _thread multiprocessing asyncio concurrent queue contextvars sched trio anyio "
    # loggers, warnings and databases
    "logging structlog warnings sqlite3 dbm shelve "
    # what follows the Unicode tables or the locale of the Python at hand
    "re unicodedata locale gettext string stringprep "
    # floats, and arithmetic that depends on a context
    "math cmath statistics decimal fractions numpy pandas pyarrow "
    # encodings that are not canonical, code that is not there to be read
    "json pickle marshal copyreg ctypes importlib pkgutil runpy gc weakref inspect "
    # servers and clients
    "httpx aiohttp requests fastapi starlette uvicorn uvloop prometheus_client typer rich click".split()
)
FORBIDDEN_BUILTINS = frozenset(
    "hash id open print input eval exec compile __import__ globals locals vars complex round breakpoint".split()
)
FORBIDDEN_METHODS = frozenset(
    "lower upper casefold title capitalize swapcase "
    "isalnum isalpha isdigit isnumeric isdecimal isspace isidentifier islower isupper istitle isprintable".split()
)
EVERYTHING = frozenset({"Exception", "BaseException"})
SET_TYPES = frozenset({"set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet"})
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
# Called with a set, these yield its members in an order that nothing defines.
ORDER_KEEPERS = frozenset("list tuple iter next enumerate zip map filter reversed dict bytes bytearray".split())
# The result of these is the same in whatever order they see the members.
ORDER_BLIND = frozenset("sorted set frozenset len min max sum any all".split())
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Module)


@dataclass(frozen=True, order=True)
class Finding:
    """One breach: where, which rule, and why it matters."""

    path: str
    line: int
    rule: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.why}"


def check_source(source: str, path: str) -> list[Finding]:
    """Return the breaches in one file's text, in order of lines.

    Raises:
        SyntaxError: the text is not Python.
    """
    visitor = _Visitor(path)
    visitor.visit(ast.parse(source, path))
    return sorted(dict.fromkeys(visitor.findings))


def check_paths(paths: Sequence[Path]) -> list[Finding]:
    """Return the breaches in files, and in all Python files under folders."""
    findings: list[Finding] = []
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            findings += check_source(file.read_text(encoding="utf-8"), str(file))
    return findings


class _Visitor(ast.NodeVisitor):
    """Walks one file; keeps, for each scope, the names known to hold a set."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self._scopes: list[set[str]] = []
        # Comprehensions whose consumer does not care about order: all(x for x in some_set).
        self._order_blind: set[ast.AST] = set()

    def visit(self, node: ast.AST) -> None:
        """Check a node, inside its scope when it opens one."""
        if not isinstance(node, SCOPES):
            super().visit(node)
            return
        self._scopes.append(set(_set_names(node, self._is_set)))
        # Once more: a name may get its set from another name of the scope.
        self._scopes[-1].update(_set_names(node, self._is_set))
        super().visit(node)
        self._scopes.pop()

    def _report(self, node: ast.AST, rule: str, why: str) -> None:
        self.findings.append(Finding(self.path, getattr(node, "lineno", 1), rule, why))

    # imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._check_import(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module:
            self._check_import(node, node.module)

    def _check_import(self, node: ast.AST, name: str) -> None:
        if name.partition(".")[0] in FORBIDDEN_IMPORTS:
            self._report(node, "import", f"{name} is not for a pure room")

    # floats

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, (float, complex)):
            self._report(node, "float", f"{node.value!r} is a float; use integers (minor units, milliseconds)")

    def visit_Name(self, node: ast.Name) -> None:
        if node.id == "float":
            self._report(node, "float", "float() is rounded; use integers")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._check_division(node, node.op)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._check_division(node, node.op)

    def _check_division(self, node: ast.AST, operator: ast.operator) -> None:
        if isinstance(operator, ast.Div):
            self._report(node, "float", "/ gives a float; use // or divmod()")
        self.generic_visit(node)

    # exceptions

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for kind in caught:
            if kind is None:
                self._report(node, "except", "a bare except catches everything")
            elif _last_name(kind) in EVERYTHING:
                self._report(node, "except", f"except {_last_name(kind)} catches everything")
        self.generic_visit(node)

    # case mapping, character classes, builtins

    def visit_Attribute(self, node: ast.Attribute) -> None:
        # A reference such as map(str.lower, names) counts as a call; a record's own field called title does not.
        if node.attr in FORBIDDEN_METHODS and isinstance(node.value, ast.Name) and node.value.id in ("str", "bytes"):
            self._report(node, "case", f".{node.attr} follows the Unicode tables of this Python")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            self._check_method_call(node, function)
        elif isinstance(function, ast.Name):
            self._check_function_call(node, function.id)
        for argument in node.args:
            if isinstance(argument, ast.Starred) and self._is_set(argument.value):
                self._report(argument, "set", "* spreads a set in no defined order; sort it first")
        self.generic_visit(node)

    def _check_method_call(self, node: ast.Call, function: ast.Attribute) -> None:
        if function.attr in FORBIDDEN_METHODS:
            self._report(node, "case", f".{function.attr}() follows the Unicode tables of this Python")
        elif function.attr in ("join", "extend", "fromkeys", "from_iterable") and any(map(self._is_set, node.args)):
            self._report(node, "set", f".{function.attr}() takes a set in no defined order; sort it first")
        elif function.attr == "pop" and self._is_set(function.value):
            self._report(node, "set", ".pop() takes any member of a set")
        elif function.attr == "suppress" and any(_last_name(kind) in EVERYTHING for kind in node.args):
            self._report(node, "except", "suppress(Exception) catches everything")

    def _check_function_call(self, node: ast.Call, name: str) -> None:
        if name in FORBIDDEN_BUILTINS:
            self._report(node, "builtin", f"{name}() is not for a pure room")
        elif name == "suppress" and any(_last_name(kind) in EVERYTHING for kind in node.args):
            self._report(node, "except", "suppress(Exception) catches everything")
        elif name in ORDER_KEEPERS and any(map(self._is_set, node.args)):
            self._report(node, "set", f"{name}() walks a set in no defined order; sort it first")
        elif name in ORDER_BLIND:
            self._order_blind.update(node.args)

    # walking sets

    def visit_For(self, node: ast.For) -> None:
        if self._is_set(node.iter):
            self._report(node.iter, "set", "for walks a set in no defined order; sort it first")
        self.generic_visit(node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        if self._is_set(node.value):
            self._report(node, "set", "yield from walks a set in no defined order; sort it first")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if self._is_set(node.value) and any(isinstance(t, (ast.Tuple, ast.List)) for t in node.targets):
            self._report(node, "set", "unpacks a set in no defined order; sort it first")
        self.generic_visit(node)

    def visit_List(self, node: ast.List) -> None:
        self._check_display(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        self._check_display(node)

    def _check_display(self, node: ast.List | ast.Tuple) -> None:
        for element in node.elts:
            if isinstance(element, ast.Starred) and self._is_set(element.value):
                self._report(element, "set", "* spreads a set in no defined order; sort it first")
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._check_comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._check_comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._check_comprehension(node)

    def _check_comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> None:
        if node not in self._order_blind:
            for generator in node.generators:
                if self._is_set(generator.iter):
                    self._report(generator.iter, "set", "walks a set in no defined order; sort it first")
        self.generic_visit(node)

    # what is a set

    def _is_set(self, node: ast.AST) -> bool:
        """Tell whether an expression is a set, as far as one can see without running it."""
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Name(id=name):
                return any(name in scope for scope in self._scopes)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                return any(f"self.{name}" in scope for scope in self._scopes)
            case ast.Call(func=ast.Name(id="set" | "frozenset")):
                return True
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in SET_METHODS:
                return self._is_set(value)
            case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, SET_OPERATORS):
                return self._is_set(left) or self._is_set(right)
            case ast.IfExp(body=body, orelse=other):
                return self._is_set(body) or self._is_set(other)
            case ast.NamedExpr(value=value):
                return self._is_set(value)
        return False


def _set_names(scope: ast.AST, is_set: Callable[[ast.AST], bool]) -> Iterator[str]:
    """Yield the names that a scope binds to a set, by value or by annotation; an attribute as `self.name`."""
    if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = scope.args
        for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
            if _is_set_annotation(argument.annotation):
                yield argument.arg
    in_class = isinstance(scope, ast.ClassDef)
    for node in _own_nodes(scope):
        if isinstance(node, ast.AnnAssign):
            if _is_set_annotation(node.annotation):
                yield from _target_names(node.target, in_class=in_class)
        elif isinstance(node, ast.Assign) and is_set(node.value):
            for target in node.targets:
                yield from _target_names(target, in_class=in_class)
    if isinstance(scope, ast.ClassDef):
        for method in scope.body:
            for name in _set_names(method, is_set) if isinstance(method, ast.FunctionDef) else ():
                if name.startswith("self."):
                    yield name


def _own_nodes(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a scope, without those of the scopes inside it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, SCOPES):
            waiting.extend(ast.iter_child_nodes(node))


def _target_names(target: ast.AST, *, in_class: bool) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            # A field declared in a class body is read as self.field.
            yield f"self.{name}" if in_class else name
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
            yield f"self.{name}"


def _is_set_annotation(annotation: ast.AST | None) -> bool:
    match annotation:
        case ast.Constant(value=str(text)):
            return text.partition("[")[0].strip() in SET_TYPES
        case ast.Subscript(value=value):
            return _is_set_annotation(value)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _is_set_annotation(left) or _is_set_annotation(right)
        case ast.Name() | ast.Attribute():
            return _last_name(annotation) in SET_TYPES
    return False


def _last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def main(arguments: Sequence[str]) -> int:
    """Print the breaches; return 1 if there are any, 2 if there was nothing to look at."""
    paths = [Path(argument) for argument in arguments or DEFAULT_PATHS]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        print(f"determinism: no such path: {', '.join(missing)}", file=sys.stderr)
        return 2
    findings = check_paths(paths)
    for finding in findings:
        print(finding)
    print(f"determinism: {len(findings)} breaches" if findings else "determinism: clean")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
