"""Export: a PyTorch module becomes an ONNX file that is proven to compute the same."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from toolchain.errors import usage
from toolchain.export_failure import explain_failure
from toolchain.float_parity import FloatSession, check_float_parity
from toolchain.onnx_file import SIZE_MAX_BYTES, write_onnx
from toolchain.onnx_names import OnnxNames
from toolchain.onnx_safety import first_line

# The opset of every model from here on; toolchain/onnx_opset.py says why it is this one.
OPSET = 21

# Loggers of the exporter and of what it calls; their warnings are for its developers.
_CHATTY_LOGGERS = ("torch", "onnxscript", "onnx_ir")


def export_onnx(model: nn.Module, example: dict[str, NDArray[Any]], out: Path) -> None:
    """Write the module, in evaluation mode, as an ONNX file with its weights inside.

    Args:
        model: Its training flags are what they were afterwards.
        example: One array per input, first axis = samples, in the order of forward's positional parameters. The keys
            become the names of the graph's inputs; the first axis of each stays dynamic.
        out: The same module and example give the same bytes.

    Outputs are named "output", or "output_0", "output_1", … in the order in which nested tuples, lists and dicts hold
    them. Raises ToolchainError (exit 2) that names module and operator where the module cannot be exported.
    """
    output_names = tuple(run_pytorch(model, example))
    size_bytes = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if size_bytes > SIZE_MAX_BYTES:
        raise usage(
            "the model is too large for one ONNX file", where="weights", expected="< 2 GiB", found=f"{size_bytes} bytes"
        )
    # Two samples: torch.export takes an axis of length 1 for a constant.
    arguments = tuple(torch.tensor(np.repeat(array[:1], 2, axis=0)) for array in example.values())
    chatter = io.StringIO()
    try:
        with _evaluation_mode(model), _capture_chatter(chatter):
            program = torch.onnx.export(
                model,
                arguments,
                dynamo=True,
                external_data=False,
                dynamic_shapes=_free_batch(model, arguments),
                opset_version=OPSET,
                verbose=False,
            )
            graph = program.model.graph  # type: ignore[union-attr]  # None is for the exporter of old
            # Names are given here and not by the exporter, which writes an invalid file ("Duplicate definition of
            # name") where a name that it is asked for is also the name of an inner value.
            _rename(graph, dict(zip([*graph.inputs, *graph.outputs], [*example, *output_names], strict=True)))
            exported = program.model_proto  # type: ignore[union-attr]
    except Exception as error:  # a user's module may raise anything inside of the exporter
        failure = explain_failure(model, error)
        failure.add_note(chatter.getvalue())
        raise failure from error
    _strip_metadata(exported)
    _check_exported(exported)
    write_onnx(exported, out, step="export")


def run_pytorch(model: nn.Module, batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the module's outputs in evaluation mode, named and flattened as `export_onnx` does.

    Raises ToolchainError (exit 2): the module rejects the batch, or an output is not a tensor that ONNX has.
    """
    # Copies: a module may change its input in place.
    tensors = [torch.tensor(array) for array in batch.values()]
    try:
        inspect.signature(model.forward).bind(*tensors)
    except TypeError as error:
        raise usage(
            "the inputs do not fit the module's forward",
            where=f"{type(model).__name__}.forward{inspect.signature(model.forward)}",
            expected="one positional parameter per input, in their order",
            found=f"inputs {', '.join(batch)}",
        ) from error
    with _evaluation_mode(model), torch.no_grad():
        try:
            result = model(*tensors)
        except Exception as error:  # a user's module may raise anything
            raise usage(
                "the module fails on its input",
                where=", ".join(f"{name} {array.dtype}{array.shape}" for name, array in batch.items()),
                found=f"{type(error).__name__}: {first_line(error)}",
                fix="check that the data set's samples have the shape and dtype that the module was made for",
            ) from error
    outputs = list(_flatten(result, "output"))
    names = ["output"] if len(outputs) == 1 else [f"output_{index}" for index in range(len(outputs))]
    return dict(zip(names, outputs, strict=True))


def check_export(
    onnx_path: Path, model: nn.Module, batches: Iterable[Mapping[str, NDArray[Any]]], *, threads: int = 1
) -> dict[str, float]:
    """Compare the ONNX file in ONNX Runtime with the module on real samples; return the SQNR of each output in dB.

    Raises ToolchainError (exit 18) as `check_float_parity` does: the module's own output has a NaN,
    or the file computes something else.
    """
    session = FloatSession(onnx_path, threads=threads)
    pairs = ((run_pytorch(model, batch), session.run(batch)) for batch in batches)
    return check_float_parity("export", pairs, per_sample=True)


def _flatten(result: Any, place: str) -> Iterator[NDArray[Any]]:
    """Yield the tensors of nested tuples, lists and dicts, in their order, as arrays."""
    if isinstance(result, torch.Tensor):
        try:
            array = result.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # bfloat16 and sparse tensors have no array
            raise usage("an output has no dtype that NumPy has", where=place, found=str(result.dtype)) from error
        if np.iscomplexobj(array):
            raise usage("an output is complex, which ONNX Runtime does not have", where=place, found=str(result.dtype))
        yield array
    elif isinstance(result, Mapping):
        for key, value in result.items():
            yield from _flatten(value, f"{place}[{key!r}]")
    elif isinstance(result, tuple | list):
        for index, value in enumerate(result):
            yield from _flatten(value, f"{place}[{index}]")
    else:
        raise usage(
            "an output of the module is not a tensor",
            where=place,
            expected="tensors, in tuples, lists or dicts",
            found=type(result).__name__,
            fix="return tensors only; wrap the module if it cannot be changed",
        )


def _free_batch(model: nn.Module, arguments: Sequence[torch.Tensor]) -> dict[str, Any]:
    """Return torch.export's dynamic_shapes, by parameter of forward: the first axis of every argument is the batch."""
    axes = {0: torch.export.Dim("batch")}
    bound = inspect.signature(model.forward).bind(*arguments).arguments
    # forward(*inputs) binds a tuple.
    return {name: (axes,) * len(value) if isinstance(value, tuple) else axes for name, value in bound.items()}


@contextlib.contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch every submodule to evaluation, and back to what each was."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, flag in training.items():
            module.training = flag


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
        raise usage("the PyTorch exporter wrote an invalid ONNX graph", found=first_line(error)) from error
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
