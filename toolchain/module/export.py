"""Export: a PyTorch module becomes an ONNX file that is proven to compute the same."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from toolchain.errors import ToolchainError, first_line, usage
from toolchain.graph.file import SIZE_MAX_BYTES, write_onnx
from toolchain.graph.names import OnnxNames
from toolchain.graph.opset import OPSET
from toolchain.graph.parity import check_float_parity
from toolchain.graph.randomness import explain_randomness, find_random_node
from toolchain.graph.session import HostSession
from toolchain.module.export_failure import explain_failure
from toolchain.module.forward import Call, bind_inputs, list_dataclasses
from toolchain.module.independent import check_independent
from toolchain.module.name_layers import name_layers
from toolchain.module.pytorch_run import evaluation_mode, run_pytorch
from toolchain.module.repeatable import check_repeatable

# Loggers of the exporter and of what it calls; their warnings are for its developers.
_CHATTY_LOGGERS = ("torch", "onnxscript", "onnx_ir")


def export_onnx(model: nn.Module, example: Mapping[str, NDArray[Any]], out: Path) -> None:
    """Write the module, in evaluation mode, as an ONNX file with its weights inside.

    Args:
        model: Its training flags are what they were afterwards.
        example: One array per input, first axis = samples, as `bind_inputs` matches them with forward. The keys
            become the names of the graph's inputs; the first axis of each stays dynamic.
        out: The same module and example give the same bytes.

    Outputs are named as `name_outputs` does. Raises ToolchainError (exit 2) that names module and operator where the
    module cannot be exported; where its output differs from run to run, has no axis of samples, or answers a sample
    otherwise when others are beside it.
    """
    outputs = check_repeatable(lambda: run_pytorch(model, example))
    output_names = tuple(outputs)
    call = bind_inputs(model, list(example))
    _check_names(call.names, output_names)
    _check_batch_axis(model, example)
    size_bytes = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if size_bytes > SIZE_MAX_BYTES:
        raise usage(
            "the model is too large for one ONNX file",
            where="weights",
            expected="< 2 GiB",
            found=f"{size_bytes} bytes",
            fix="build a smaller model: fewer layers or channels, or prune it in the recipe ([[compress]])",
        )
    # Two samples: torch.export takes an axis of length 1 for a constant.
    inputs = {name: torch.tensor(np.repeat(array[:1], 2, axis=0)) for name, array in example.items()}
    arguments = tuple(inputs[name] for name in call.positional)
    by_name = {name: inputs[name] for name in call.by_name}
    _register_dataclasses(model, call, inputs)
    chatter = io.StringIO()
    try:
        with evaluation_mode(model), _capture_chatter(chatter):
            program = torch.onnx.export(
                model,
                arguments,
                kwargs=by_name or None,
                dynamo=True,
                external_data=False,
                dynamic_shapes=_free_batch(model, arguments, by_name),
                opset_version=OPSET,
                verbose=False,
            )
            graph = program.model.graph  # type: ignore[union-attr]  # None is for the exporter of old
            # Names are given here and not by the exporter, which writes an invalid file ("Duplicate definition of
            # name") where a name that it is asked for is also the name of an inner value.
            _rename(graph, dict(zip([*graph.inputs, *graph.outputs], [*call.names, *output_names], strict=True)))
            exported = program.model_proto  # type: ignore[union-attr]
    except (Exception, SystemExit) as error:  # a user's module may raise anything inside of the exporter
        failure = explain_failure(model, error)
        failure.add_note(chatter.getvalue())
        raise failure from error
    name_layers(exported, [name for name, _ in model.named_modules() if name])
    _strip_metadata(exported)
    _check_exported(exported)
    check_independent(lambda batch: run_pytorch(model, batch), example, outputs)
    write_onnx(exported, out, step="export")


def check_export(
    onnx_path: Path, model: nn.Module, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int = 1
) -> dict[str, float]:
    """Compare the ONNX file in ONNX Runtime with the module on real samples; return the SQNR of each output in dB.

    Raises ToolchainError (exit 18) as `check_float_parity` does: the module's own output has a NaN,
    or the file computes something else; exit 2 for a module in bfloat16.
    """
    session = _open_exported(onnx_path, model, threads)
    pairs = ((run_pytorch(model, batch), session.run(batch)) for batch in batches)
    return check_float_parity(
        "export",
        pairs,
        per_sample=True,
        fix="leave every module in evaluation mode: no .train(), no state and no branch on values in forward; else report it",
    )


def _open_exported(path: Path, model: nn.Module, threads: int) -> HostSession:
    try:
        return HostSession(path, threads=threads)
    except ToolchainError as error:
        if not any(tensor.dtype == torch.bfloat16 for tensor in model.state_dict().values()):
            raise
        raise usage(
            "the module computes in bfloat16, and ONNX Runtime's CPU does not",
            where="model.build",
            expected="a float32 model: int8, fp16 and bf16 are made of it",
            found=error.found,
            fix="let the builder return model.float(), and convert inputs in forward to float32 too",
        ) from error


def _check_names(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Refuse names that one graph cannot have: an empty one, or that of an input for an output."""
    for name in outputs:
        if name in inputs or not name:
            raise usage(
                "an output cannot have this name",
                where=f"output {name!r}",
                expected="a name that no input has" if name else "a name",
                found=repr(name),
                fix="rename the key that the module returns, or the input's array in the data",
            )


def _check_batch_axis(model: nn.Module, example: Mapping[str, NDArray[Any]]) -> None:
    """Refuse an output whose first axis does not count samples: nothing says which sample it belongs to."""
    for count in (2, 3):
        outputs = run_pytorch(model, {name: np.repeat(array[:1], count, axis=0) for name, array in example.items()})
        for name, array in outputs.items():
            if array.ndim == 0 or array.shape[0] != count:
                raise usage(
                    "an output has no axis of samples",
                    where=f"output {name}",
                    expected=f"a shape ({count}, ...) for {count} samples",
                    found=f"shape {array.shape}",
                    fix="return one row per sample, or leave this output out",
                )


def _register_dataclasses(model: nn.Module, call: Call, inputs: Mapping[str, torch.Tensor]) -> None:
    """Tell torch.export how the dataclasses that the module returns are taken apart."""
    with evaluation_mode(model), torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
        result = call.run(model, {name: tensor.clone() for name, tensor in inputs.items()})
    for kind in list_dataclasses(result):
        if kind not in torch.utils._pytree.SUPPORTED_NODES:
            torch.export.register_dataclass(kind)


def _free_batch(
    model: nn.Module, arguments: Sequence[torch.Tensor], by_name: Mapping[str, torch.Tensor]
) -> dict[str, Any]:
    """Return torch.export's dynamic_shapes, by parameter of forward: the first axis of every argument is the batch."""
    axes = {0: torch.export.Dim("batch")}

    def free(value: Any) -> Any:
        if isinstance(value, tuple):  # forward(*inputs)
            return (axes,) * len(value)
        return dict.fromkeys(value, axes) if isinstance(value, dict) else axes  # forward(**inputs)

    bound = inspect.signature(model.forward).bind(*arguments, **by_name).arguments
    return {name: free(value) for name, value in bound.items()}


@contextlib.contextmanager
def _capture_chatter(chatter: io.StringIO) -> Iterator[None]:
    """Write what the exporter warns, logs and prints to a text for the error message, and not to the user."""
    # Every handler of theirs: torch gives some child loggers handlers of their own.
    handlers = [
        (logger, handler)
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.split(".")[0] in _CHATTY_LOGGERS
        for handler in logger.handlers
    ]
    listener = logging.StreamHandler(chatter)
    roots = [logging.getLogger(name) for name in _CHATTY_LOGGERS]
    propagate = {logger: logger.propagate for logger in roots}
    for logger, handler in handlers:
        logger.removeHandler(handler)
    for logger in roots:
        logger.addHandler(listener)
        logger.propagate = False
    try:
        with (
            contextlib.redirect_stdout(chatter),
            contextlib.redirect_stderr(chatter),
            warnings.catch_warnings(record=True, action="always") as caught,
        ):
            yield
    finally:
        chatter.writelines(f"{warning.message}\n" for warning in caught)
        for logger in roots:
            logger.removeHandler(listener)
            logger.propagate = propagate[logger]
        for logger, handler in handlers:
            logger.addHandler(handler)


def _rename(graph: Any, names: Mapping[Any, str]) -> None:
    """Name the onnx_ir values as asked, and an inner value that has one of those names anew."""
    values = [*graph.inputs, *graph.initializers.values()]
    values += [output for node in graph.all_nodes() for output in node.outputs]
    free = OnnxNames([*(value.name for value in values), *names.values()])
    for value in values:
        if value not in names and value.name in names.values():
            value.name = free.make(f"{value.name}_inner")
    for value, name in names.items():
        value.name = name


def _strip_metadata(message: Any) -> None:
    """Remove stack traces, file names and notes: they tell of the user's machine, and differ from run to run."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None and not isinstance(message, onnx.TensorProto):
            for child in value if field.is_repeated else (value,):
                _strip_metadata(child)


def _check_exported(model: onnx.ModelProto) -> None:
    """Refuse a file that the exporter wrote wrong, and one in which it silently made the batch a constant."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise usage(
            "the PyTorch exporter wrote an invalid ONNX graph",
            found=first_line(error),
            fix="write that part of forward with other operators, or export with another version of torch",
        ) from error
    if (node := find_random_node(model)) is not None:  # one that shows too rarely to be seen in a few runs
        raise explain_randomness(f"node {node}", "an operator that draws random numbers")
    for value in model.graph.input:
        axes: Sequence[Any] = value.type.tensor_type.shape.dim
        if not axes or not axes[0].dim_param:
            raise usage(
                "the module works for one batch size only",
                where=f"input {value.name}",
                expected="a dynamic first axis",
                found=str(axes[0].dim_value) if axes else "no axis",
                fix="take the batch size from the input's shape, as a symbol: no int(), no Python arithmetic on it",
            )
