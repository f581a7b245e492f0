"""From a recipe to its untrained PyTorch model."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from toolchain.errors import ToolchainError, suggest_name, usage
from toolchain.module.builder_failure import explain_call, explain_import
from toolchain.module.imports import import_file, imports_of, list_import_folders
from toolchain.project.recipe import Recipe


def build_model(recipe: Recipe) -> nn.Module:
    """Return what the recipe's FILE.py:FUNCTION builds with model.build_options, on the CPU.

    The file finds the modules beside it, apart from those of other models. What it prints goes to stderr. Raises
    ToolchainError: no such file, function or option, code that fails, a result that is no module (exit 2); a package
    that is not installed (exit 3).
    """
    where = f"{recipe.path}: model.build"
    if recipe.model.build is None:
        raise usage(
            "the recipe has an ONNX file and no PyTorch model",
            where=where,
            expected="FILE.py:FUNCTION",
            fix="deploy the ONNX file as it is, or write build in place of onnx into [model]",
        )
    path, function_name = _find_file(recipe.folder, recipe.model.build, where, what="the model")
    with _process_state_kept(), imports_of(path), contextlib.redirect_stdout(sys.stderr):
        function = _find_function(path, function_name, where)
        model = _call(function, recipe, path)
    if not isinstance(model, nn.Module):
        name = model.__name__ if isinstance(model, type) and issubclass(model, nn.Module) else None
        raise usage(
            "the function builds no model",
            where=where,
            expected="an nn.Module",
            found=type(model).__name__ if name is None else f"the class {name}",
            fix="let it return the module" if name is None else f"return {name}(), an instance",
        )
    _check_placed(model, where)
    return model.to("cpu")


def load_function(recipe: Recipe, place: str, *, where: str) -> Callable[..., Any]:
    """Return the function of the user's that FILE.py:FUNCTION names; the path starts at the recipe's folder.

    Raises ToolchainError as build_model does.
    """
    path, name = _find_file(recipe.folder, place, where, what="it")
    with _process_state_kept(), imports_of(path), contextlib.redirect_stdout(sys.stderr):
        return _find_function(path, name, where)


def _call(function: Callable[..., Any], recipe: Recipe, path: Path) -> object:
    options = recipe.model.build_options
    where = f"{recipe.path}: model.build_options"
    try:
        signature = inspect.signature(function)
        signature.bind(**options)
    except TypeError as error:
        raise usage(
            "the options do not fit the function that builds the model",
            where=where,
            expected=f"those of build{signature}",
            found=str(error),
            fix="correct model.build_options in the recipe",
        ) from error
    except ValueError:  # a builtin tells no signature: calling it says what does not fit
        pass
    try:
        return function(**options)
    except (ToolchainError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a user's code may raise anything, sys.exit() too
        if isinstance(error, ValueError) and options:
            raise usage(
                "an option of the model has a wrong value",
                where=where,
                found=str(error),
                fix=f"correct it in the recipe to a value that {recipe.model.build} takes",
            ) from error
        raise explain_call(error, path, list_import_folders(path)) from error


def _find_file(folder: Path, build: str, where: str, *, what: str) -> tuple[Path, str]:
    file_name, colon, name = build.rpartition(":")
    if not (colon and file_name.endswith(".py") and name.isidentifier()):
        raise usage(
            f"{where.rpartition(': ')[2]} names no function",
            where=where,
            expected="FILE.py:FUNCTION",
            found=build,
            fix='write a file beside the recipe, a colon and a function of it, such as build = "model.py:build"',
        )
    # A file that is a link keeps the modules that lie beside the link.
    path = (folder / file_name).parent.resolve() / Path(file_name).name
    if not path.is_file():
        raise usage(
            f"the file that makes {what} does not exist",
            where=where,
            expected=str(path),
            fix="create it, or correct the path, which starts at the folder of the recipe",
        )
    return path, name


def _find_function(path: Path, name: str, where: str) -> Callable[..., Any]:
    try:
        module = import_file(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's file may raise anything, sys.exit() too
        raise explain_import(error, path, list_import_folders(path)) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise usage(
            "the file has no such function",
            where=where,
            expected=f"a function {name} in {path}",
            fix=suggest_name(
                name, _list_functions(module), otherwise="define it there, or name another one in model.build"
            ),
        )
    return function  # type: ignore[no-any-return] # a file of the user's has no types


def _list_functions(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if callable(value)]


def _check_placed(model: nn.Module, where: str) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise usage(
                "the builder returns a model without memory for its weights",
                where=f"{where}: {name}",
                expected="tensors on the CPU",
                found="the meta device",
                fix="build it outside of torch.device('meta'), or call to_empty(device='cpu')",
            )


@contextlib.contextmanager
def _process_state_kept() -> Iterator[None]:
    """Undo what a builder changes in the process: what comes after it must not depend on which model was built."""
    folder, arguments = Path.cwd(), list(sys.argv)
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        yield
    finally:
        os.chdir(folder)
        sys.argv[:] = arguments
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
