"""Reads by ast what the source passes to each error that it makes: what of it by keyword, and whether there is a fix."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

# What makes an error, and how many arguments say which and what happened; all others go by keyword.
CONSTRUCTORS = {"ToolchainError": 2, "usage": 1, "missing": 1, "malformed": 1}


@dataclass(frozen=True)
class ErrorCall:
    """A call that makes an error."""

    line: int
    function: str
    is_by_keyword: bool
    """False where a text after the first sentence has no name beside it: four strings are easily swapped."""
    has_fix: bool


def list_error_calls(source: str) -> list[ErrorCall]:
    """Return the calls that make errors, but for those of the constructors to one another."""
    calls: list[ErrorCall] = []

    def visit(node: ast.AST, scopes: Sequence[ast.AST]) -> None:
        if isinstance(node, ast.Call) and (words := _count_words(node, scopes)) is not None:
            function = next((scope.name for scope in reversed(scopes) if isinstance(scope, Function)), "")
            if function not in CONSTRUCTORS:
                unnamed = [part for part in node.args if isinstance(part, ast.Starred)] + node.args[words:]
                fix = {keyword.arg: keyword.value for keyword in node.keywords}.get("fix")
                has_fix = fix is not None and _says_something(fix, scopes)
                calls.append(ErrorCall(node.lineno, function, is_by_keyword=not unnamed, has_fix=has_fix))
        inner = [*scopes, node] if isinstance(node, Function | ast.ClassDef) else scopes
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    tree = ast.parse(source)
    visit(tree, [tree])
    return sorted(calls, key=lambda call: call.line)


def _count_words(call: ast.Call, scopes: Sequence[ast.AST]) -> int | None:
    """Return how many arguments go without a name; None for a call that makes no error."""
    if ast.unparse(call.func) == "super().__init__":
        owner = next(scope for scope in reversed(scopes) if isinstance(scope, ast.ClassDef))
        return next((CONSTRUCTORS[base.id] for base in owner.bases if _is_constructor(base)), None)
    return CONSTRUCTORS[call.func.id] if _is_constructor(call.func) else None


def _is_constructor(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in CONSTRUCTORS


def _says_something(fix: ast.expr, scopes: Sequence[ast.AST]) -> bool:
    """Return whether a fix is a text in every case, as far as its source tells; what a call returns, mypy knows."""
    if isinstance(fix, ast.Constant):
        return isinstance(fix.value, str) and bool(fix.value.strip())
    if isinstance(fix, ast.IfExp):
        return _says_something(fix.body, scopes) and _says_something(fix.orelse, scopes)
    if isinstance(fix, ast.BoolOp):
        return _says_something(fix.values[-1], scopes)
    if isinstance(fix, ast.Name):
        found = [value for scope in scopes for value in _list_values(scope, fix.id)]
        return bool(found) and all(_says_something(value, scopes) for value in found)
    if isinstance(fix, ast.Call) and isinstance(fix.func, ast.Attribute) and fix.func.attr == "get":
        return len(fix.args) == 2
    return True


def _list_values(scope: ast.AST, name: str) -> list[ast.expr]:
    """Return what a scope gives a name; for a parameter, a text where it is a str and None where it may be less."""
    values: list[ast.expr] = []
    if isinstance(scope, Function):
        for parameter in (*scope.args.args, *scope.args.kwonlyargs):
            if parameter.arg == name:
                is_text = parameter.annotation is not None and ast.unparse(parameter.annotation) == "str"
                values.append(ast.Constant("a text" if is_text else None))
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                values += [value for written, value in _pair(target, node.value) if written == name]
    return values


def _pair(target: ast.expr, value: ast.expr) -> list[tuple[str, ast.expr]]:
    """Return the names that an assignment writes, each with its value."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return [pair for parts in zip(target.elts, value.elts, strict=True) for pair in _pair(*parts)]
    return [(target.id, value)] if isinstance(target, ast.Name) else []
