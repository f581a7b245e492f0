"""Applies the methods that a recipe lists, in its order."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydantic import BaseModel, ValidationError

from toolchain.compress import methods
from toolchain.errors import usage

if TYPE_CHECKING:
    from torch import nn


class Method(Protocol):
    """What a module of a method offers."""

    SUMMARY: str
    Options: type[BaseModel]

    def apply(self, model: nn.Module, options: Any) -> nn.Module:
        """Return the compressed model; the one that came in may be changed."""


def list_methods() -> dict[str, str]:
    """Return the one-line summary of every method, by name."""
    return {name: _load_method(name).SUMMARY for name in _list_names()}


def compress_model(model: nn.Module, entries: Sequence[Mapping[str, Any]], *, where: str) -> nn.Module:
    """Return the model after every entry of a recipe's [[compress]], in order.

    Raises ToolchainError (exit 2): an entry without a method, an unknown method, a wrong option.
    """
    for index, entry in enumerate(entries):
        place = f"{where}: compress[{index}]"
        options = dict(entry)
        name = options.pop("method", None)
        if name not in _list_names():
            raise usage(
                "there is no such compression method",
                where=place,
                expected=f"method = one of {', '.join(_list_names())}",
                found=repr(name),
            )
        method = _load_method(name)
        model = method.apply(model, _read_options(method, options, place))
    return model


def _list_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(methods.__path__))


def _load_method(name: str) -> Method:
    return cast("Method", importlib.import_module(f"{methods.__name__}.{name}"))


def _read_options(method: Method, options: Mapping[str, Any], where: str) -> BaseModel:
    try:
        return method.Options.model_validate(options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise usage("a wrong option of a compression method", where=f"{where}.{key}", found=first["msg"]) from error
