"""From a recipe to its untrained PyTorch model."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from toolchain.errors import usage
from toolchain.recipe import Recipe


def build_model(recipe: Recipe) -> nn.Module:
    """Return what the recipe's FILE.py:FUNCTION builds with model.build_options.

    Raises ToolchainError (exit 2) when there is no such file, function or option, or when it returns no module.
    """
    where = f"{recipe.path}: model.build"
    if recipe.model.build is None:
        raise usage("the recipe has an ONNX file and no PyTorch model", where=where, expected="FILE.py:FUNCTION")
    function = _find_function(recipe.folder, recipe.model.build, where)
    options = recipe.model.build_options
    try:
        inspect.signature(function).bind(**options)
    except TypeError as error:
        raise usage(
            "the options do not fit the function that builds the model",
            where=f"{recipe.path}: model.build_options",
            expected=f"those of build{inspect.signature(function)}",
            found=str(error),
        ) from error
    try:
        model = function(**options)
    except ValueError as error:
        raise usage(
            "an option of the model has a wrong value", where=f"{recipe.path}: model.build_options", found=str(error)
        ) from error
    if not isinstance(model, nn.Module):
        raise usage("the function builds no model", where=where, expected="an nn.Module", found=type(model).__name__)
    return model


def _find_function(folder: Path, build: str, where: str) -> Callable[..., Any]:
    file_name, colon, name = build.rpartition(":")
    if not (colon and file_name.endswith(".py") and name.isidentifier()):
        raise usage("model.build names no function", where=where, expected="FILE.py:FUNCTION", found=build)
    path = folder / file_name
    if not path.is_file():
        raise usage("the file that builds the model does not exist", where=where, expected=str(path))
    module_name = f"toolchain_model_{folder.name}_{path.stem}".replace("-", "_").replace(".", "_")
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise usage("the file that builds the model is no Python file", where=where, found=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and inspect look a class's module up here
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise usage("the file that builds the model cannot be imported", where=str(path), found=str(error)) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise usage("the file has no such function", where=where, expected=f"a function {name} in {path}")
    return function  # type: ignore[no-any-return] # a file of the user's has no types
