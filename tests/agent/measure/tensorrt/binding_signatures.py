"""Reads the signature of a name from real bindings: TensorRT's (pybind11) and CUDA's (Cython) say it in their docstrings."""

import re

PROPERTY = "property"
VALUE = "value"
_MODULE = re.compile(r"\btensorrt\w*\.tensorrt\w*\.")
_CALL = re.compile(r"^(?:\d+\. )?\w+\((.*)\)(?: -> .*)?$")


def describe_name(module, name):
    """Return the signatures of a dotted name, "property" or "value" for what is no function; None where there is none."""
    owner, found = None, module
    for part in name.split("."):
        owner, found = found, getattr(found, part, None)
        if found is None:
            return None
    if isinstance(found, type):
        found = vars(found).get("__init__", found) if "__members__" not in dir(found) else None
    if isinstance(found, property) or type(found).__name__ == "getset_descriptor":
        return [PROPERTY]
    if not callable(found) or (isinstance(owner, type) and isinstance(found, owner)):
        return [VALUE]
    lines = [line.strip() for line in (found.__doc__ or "").splitlines()]
    signatures = [line for line in lines if _CALL.match(line) and "*args" not in line]
    return [_MODULE.sub("", line) for line in signatures] or [VALUE]


def _split(text):
    # At the commas outside of brackets: Tuple[bool, List[int]] is one parameter's type.
    depth, parts, current = 0, [], ""
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    return [part.strip() for part in [*parts, current] if part.strip()]


def list_parameters(signature):
    """Return the parameters of a signature without self, as (name, has a default)."""
    parameters = []
    for part in _split(_CALL.match(signature)[1]):
        declaration = part.partition("=")[0].partition(":")[0].split()
        if declaration[-1] != "self":
            parameters.append((declaration[-1], "=" in part))
    return parameters


def accepts(signature, positional, keywords):
    """Return whether a function can be called with so many positional arguments, and these by name."""
    if signature in (PROPERTY, VALUE):
        return False
    parameters = list_parameters(signature)
    rest = dict(parameters[positional:])
    needed = {name for name, has_default in rest.items() if not has_default}
    return positional <= len(parameters) and needed <= set(keywords) <= set(rest)
