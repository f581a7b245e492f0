"""What the docstrings under fields say, read from the source of their class."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Mapping


@functools.cache
def read_field_texts(table: type) -> Mapping[str, str]:
    """Return the docstring under each field of a class and of those that it derives from, by the field's name."""
    texts: dict[str, str] = {}
    for base in reversed(table.__mro__):
        texts |= _read_own(base)
    return texts


def _read_own(table: type) -> dict[str, str]:
    if not getattr(table, "__annotations__", None):
        return {}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(table)))
    except (OSError, TypeError, SyntaxError):  # a class that was made without a file
        return {}
    if not isinstance(tree.body[0], ast.ClassDef):
        return {}
    body = tree.body[0].body
    found = {}
    for field, text in itertools.pairwise(body):
        is_text = (
            isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
        )
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            found[field.target.id] = " ".join(text.value.value.split())  # type: ignore[attr-defined]
    return found
