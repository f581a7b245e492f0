"""Runs a PyTorch module in evaluation mode on named arrays, as everything that is compared with it does."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from toolchain.errors import usage
from toolchain.module.builder_failure import describe
from toolchain.module.forward import bind_inputs, name_outputs


def run_pytorch(model: nn.Module, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the module's outputs in evaluation mode, named and flattened as `name_outputs` does.

    What the module prints goes to stderr. Raises ToolchainError (exit 2): the module rejects the batch, or an output is
    not a tensor that ONNX has.
    """
    call = bind_inputs(model, list(batch))
    tensors = {name: _to_tensor(name, array) for name, array in batch.items()}
    with evaluation_mode(model), torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
        try:
            result = call.run(model, tensors)
        except (Exception, SystemExit) as error:  # a user's module may raise anything
            imports = isinstance(error, ImportError)
            raise usage(
                "the module fails on its input",
                where=", ".join(f"{name} {array.dtype}{array.shape}" for name, array in batch.items()),
                found=describe(error),
                fix="import it at the top of the file that builds the model"
                if imports
                else "check that the data set's samples have the shape and dtype that the module was made for",
            ) from error
    return {name: _to_array(name, tensor) for name, tensor in name_outputs(result).items()}


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch every submodule to evaluation, and back to what each was."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag


def _to_tensor(name: str, array: NDArray[Any]) -> torch.Tensor:
    """Return a copy, because a module may change its input in place; texts, dates and foreign byte orders are refused."""
    try:
        return torch.tensor(array)
    except (TypeError, ValueError) as error:
        raise usage(
            "an array has a type that no model takes",
            where=name,
            expected="numbers or truth values, of 64 bits at the most, in this machine's byte order",
            found=str(array.dtype),
            fix="convert it before numpy.savez: array.astype('float32'); leave out what is no input, such as names of files",
        ) from error


def _to_array(name: str, tensor: torch.Tensor) -> NDArray[Any]:
    try:
        array: NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:  # bfloat16 and sparse tensors have no array
        raise usage(
            "an output has no dtype that NumPy has",
            where=name,
            found=str(tensor.dtype if tensor.layout is torch.strided else tensor.layout),
            fix="convert it in forward: output.float(), or output.to_dense()",
        ) from error
    if np.iscomplexobj(array):
        raise usage(
            "an output is complex, which ONNX Runtime does not have",
            where=name,
            found=str(tensor.dtype),
            fix="return torch.view_as_real(output)",
        )
    return array
