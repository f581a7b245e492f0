"""A Python file that builds a module: copied where it stands alone, built, and asked for its inputs and outputs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from toolchain.begin.brought import WEIGHTS, Axes, Brought, Tensor
from toolchain.begin.choose_builder import choose_builder
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.builder import build_model, load_function
from toolchain.module.files import list_own_files
from toolchain.module.pytorch_run import run_pytorch
from toolchain.project.recipe import DataSection, ModelSection, Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COPY = "model.py"


def bring_module(path: Path, named: str | None, folder: Path, sample: Mapping[str, NDArray[Any]] | None) -> Brought:
    """Return a file's model in this folder. Its code is run, as it is in every deploy.

    sample: one row of every input, where there is data; it shows the outputs.
    Raises ToolchainError as choose_builder and build_model do (exit 2, 3).
    """
    name = choose_builder(path, named)
    own = list_own_files(path.resolve())
    is_alone = own == [path.resolve()]
    file = _COPY if is_alone else os.path.relpath(path.resolve(), folder.resolve())
    said = [f"{_COPY} is a copy of {path}" if is_alone else f"{path} stays where it is, with the files that it needs"]
    said.append(f"{name} builds the model")
    model: dict[str, object] = {"build": f"{file}:{name}", "weights": WEIGHTS}
    files: dict[str, bytes | Path] = {_COPY: path} if is_alone else {}
    recipe = Recipe(model=ModelSection(build=f"{path.name}:{name}", weights=WEIGHTS), data=DataSection(name="npz")).at(
        path.parent / "recipe.toml"
    )
    required = _list_required(recipe)
    if required:
        missing = f"build_options = {{ {', '.join(f'{each} = …' for each in required)} }} in [model]: {name} needs them"
        return Brought(model=model, files=files, said=tuple(said), missing=(missing,))
    module = build_model(recipe)
    return Brought(
        model=model,
        files=files,
        inputs=_guess_inputs(module) if sample is None else (),
        outputs=() if sample is None else _run(module, sample),
        said=tuple(said),
    )


def _list_required(recipe: Recipe) -> list[str]:
    function = load_function(recipe, recipe.model.build or "", where=f"{recipe.path}: model.build")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin tells no signature
        return []
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters if each.default is inspect.Parameter.empty and each.kind not in variable]


def _run(module: nn.Module, sample: Mapping[str, NDArray[Any]]) -> tuple[Tensor, ...]:
    """Return the outputs for a sample; nothing where the module does not take it, which the deploy says better."""
    try:
        outputs = run_pytorch(module, sample)
    except ToolchainError as error:
        if error.code != ExitCode.USAGE:
            raise
        return ()
    return tuple(
        Tensor(name=name, dtype=str(array.dtype), axes=("samples", *array.shape[1:])) for name, array in outputs.items()
    )


def _guess_inputs(module: nn.Module) -> tuple[Tensor, ...]:
    """Return what forward takes, and of a single input what the first layer says of its shape."""
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = [each.name for each in parameters if each.kind in kinds and each.default is inspect.Parameter.empty]
    if len(names) != 1:
        return tuple(Tensor(name=name, dtype="float32", axes=None) for name in names)
    dtype = "float32"
    axes: Axes | None = None
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            sides = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}[len(layer.kernel_size)]
            axes = ("samples", layer.in_channels, *sides)
        elif isinstance(layer, nn.Linear):
            axes = ("samples", layer.in_features)
        elif isinstance(layer, nn.Embedding):
            dtype, axes = "int64", ("samples", "length")
        elif isinstance(layer, nn.RNNBase):
            axes = ("samples", "length", layer.input_size) if layer.batch_first else None
        if axes is not None or isinstance(layer, nn.RNNBase):
            break
    return (Tensor(name=names[0], dtype=dtype, axes=axes),)
