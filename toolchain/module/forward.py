"""How a module is called with named samples, and what its outputs are called."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from toolchain.errors import usage

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Call:
    """Which inputs a forward takes by position, in its order, and which by name."""

    positional: tuple[str, ...]
    by_name: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All inputs, in the order in which the graph has them."""
        return self.positional + self.by_name

    def run(self, model: nn.Module, inputs: Mapping[str, Any]) -> Any:
        """Return what the module returns for one value per input."""
        arguments = [inputs[name] for name in self.positional]
        return model(*arguments, **{name: inputs[name] for name in self.by_name})


def bind_inputs(model: nn.Module, names: Sequence[str]) -> Call:
    """Return how the module takes inputs of these names.

    One input is taken whatever its name; several are matched with the parameters of forward by name, and by position
    where forward names none (*inputs). Raises ToolchainError (exit 2) where they do not fit.
    """
    signature = inspect.signature(model.forward)
    parameters = signature.parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    alone = len(names) == 1 and not kinds.isdisjoint(_POSITIONAL)
    by_position = set(names).isdisjoint(parameters) and (alone or inspect.Parameter.VAR_POSITIONAL in kinds)
    call = Call(tuple(names), ()) if by_position else _match_names(parameters, names)
    try:
        signature.bind(*call.positional, **dict.fromkeys(call.by_name))
    except TypeError as error:
        raise usage(
            "the inputs do not fit the module's forward",
            where=f"{type(model).__name__}.forward{signature}",
            expected=", ".join(_list_names(parameters)) or "inputs by position",
            found=", ".join(names),
            fix="give the data one array per parameter of forward, under the parameter's name",
        ) from error
    return call


def name_outputs(result: Any) -> dict[str, Tensor]:
    """Return the tensors of nested tuples, lists, dicts and dataclasses, in their order, by name.

    A tensor alone is "output", those of tuples and lists are "output_0", "output_1", …; keys of dicts and fields of
    named tuples and dataclasses are the names of what they hold, joined by "_" where they are nested. None in them is
    no output. Raises ToolchainError (exit 2): what is no tensor, by its place; nothing; two outputs of one name.
    """
    found = list(_flatten(result, ()))
    if not found:
        raise usage(
            "the module returns nothing",
            where="output",
            expected="at least one tensor",
            found=repr(result),
            fix="let forward return what the module computes",
        )
    if len(found) == 1 and all(isinstance(part, int) for part in found[0][0]):
        return {"output": found[0][1]}
    named: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    for index, (path, tensor) in enumerate(found):
        name, place = _name(path, index), _describe(path)
        if name in named:
            raise usage(
                "two outputs of the module have one name",
                where=f"{places[name]} and {place}",
                expected="names that differ",
                found=f"{name!r} twice",
                fix="rename one of the keys that the module returns",
            )
        named[name], places[name] = tensor, place
    return named


def take_main_output(result: Any) -> Tensor:
    """Return the first output: the one that the task metric is measured on, and that a training learns."""
    first = next(_flatten(result, ()), None)
    if first is None:
        raise usage(
            "the module returns nothing",
            where="output",
            expected="at least one tensor",
            found=repr(result),
            fix="let forward return what the module computes",
        )
    return first[1]


def list_dataclasses(result: Any) -> list[type]:
    """Return the dataclasses among the containers of a module's result, each once."""
    found: dict[type, None] = {}
    if dataclasses.is_dataclass(result) and not isinstance(result, Mapping | type):
        found[type(result)] = None
    children: Sequence[Any] = ()
    if isinstance(result, Mapping):
        children = list(result.values())
    elif isinstance(result, tuple | list):
        children = result
    elif found:
        children = [getattr(result, field.name) for field in dataclasses.fields(result)]
    for child in children:
        found.update(dict.fromkeys(list_dataclasses(child)))
    return list(found)


_Path = tuple[str | int, ...]


def _match_names(parameters: Mapping[str, inspect.Parameter], names: Sequence[str]) -> Call:
    positional: list[str] = []
    for name, parameter in parameters.items():
        if name not in names or parameter.kind not in _POSITIONAL:
            break  # a parameter with a default that the data does not have: what comes after it goes by name
        positional.append(name)
    rest = [name for name in parameters if name in names and name not in positional]
    unknown = [name for name in names if name not in parameters]
    return Call(tuple(positional), (*rest, *unknown))


def _list_names(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, parameter in parameters.items() if parameter.kind not in variable]


def _flatten(result: Any, path: _Path) -> Iterator[tuple[_Path, Tensor]]:
    items: Sequence[tuple[Any, Any]]
    if isinstance(result, Tensor):
        yield path, result
    if isinstance(result, Tensor) or (result is None and path):  # an auxiliary head that is for training only
        return
    if isinstance(result, Mapping):
        items = list(result.items())
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        items = list(zip(result._fields, result, strict=True))
    elif isinstance(result, tuple | list):
        items = list(enumerate(result))
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        items = [(field.name, getattr(result, field.name)) for field in dataclasses.fields(result)]
    else:
        raise usage(
            "an output of the module is not a tensor",
            where=_describe(path),
            expected="tensors, in tuples, lists, dicts or dataclasses",
            found=type(result).__name__,
            fix="return tensors only; wrap the module if it cannot be changed",
        )
    for key, value in items:
        yield from _flatten(value, (*path, key if isinstance(key, int) else str(key)))


def _name(path: _Path, index: int) -> str:
    """Return an output's name; those that are only numbered are numbered through."""
    if all(isinstance(part, int) for part in path):
        return f"output_{index}"
    return "_".join(map(str, path if isinstance(path[0], str) else ("output", *path)))


def _describe(path: _Path) -> str:
    return "output" + "".join(f"[{part!r}]" for part in path)
