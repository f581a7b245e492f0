"""What to tell a user whose PyTorch module does not export: the module, the operator, the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import FrameType

import torch
from torch import nn

from toolchain.errors import ToolchainError, first_line, usage

# How the exporter's messages and torch.fx write an operator: torch.ops.aten.NAME.OVERLOAD, or op='aten.NAME'.
_OPERATOR = re.compile(r"torch\.ops\.([\w.]+)|op='([\w.]+)'")


def explain_failure(model: nn.Module, error: BaseException) -> ToolchainError:
    """Return the usage error (exit 2) for whatever the exporter, or the module inside of it, raised."""
    chain = list(_iter_causes(error))
    operator = next((a or b for a, b in (match for cause in chain for match in _OPERATOR.findall(str(cause)))), None)
    place = find_failing_module(model, error) or type(model).__name__
    root = chain[-1]
    return usage(
        "the PyTorch module cannot be exported to ONNX",
        where=f"module {place}" + (f", operator {operator}" if operator else ""),
        found=f"{type(root).__name__}: {first_line(root)}",
        fix="rewrite that part with operators that torch.export and ONNX have, such as torch.where in place of "
        "an `if` on values",
    )


def _iter_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _iter_frames(error: BaseException) -> Iterator[FrameType]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def find_failing_module(model: nn.Module, error: BaseException) -> str | None:
    """Return "NAME (CLASS)" of the innermost module that was running, or whose node was being translated."""
    names = {id(module): name for name, module in model.named_modules()}
    found = None
    for frame in (frame for cause in _iter_causes(error) for frame in _iter_frames(cause)):
        arguments = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        for name, value in list(frame.f_locals.items()):
            if isinstance(value, torch.fx.Node) and (stack := value.meta.get("nn_module_stack")):
                path, kind = list(stack.values())[-1]
                found = _describe(path, str(kind).rsplit(".", 1)[-1])
            elif frame.f_code.co_name == "forward" and name in arguments[:1] and id(value) in names:
                found = _describe(names[id(value)], type(value).__name__)
    return found


def _describe(path: str, kind: str) -> str:
    return f"{path} ({kind})" if path else kind
