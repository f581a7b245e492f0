"""OpenVINO on the CPU: what Intel's edge boxes run. What it does unasked, and why each property is set: docs/openvino.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple, Type

from ...errors import ExitCode, ToolchainError
from ...manifest import TensorSpec
from ..macs import CountMacs, Shape, count_conv, count_conv_transpose, count_matmul, count_nothing, count_recurrent
from ..placement import Layer, Placement
from ..session import BuildRequest
from ..traits import LibraryPlaces, Traits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAITS = Traits(
    install="python -m pip install openvino (beside the toolchain: 'edge-toolchain[openvino]')",
    libraries=LibraryPlaces(beside=("openvino", "openvino.libs"), system=("libopenvino*.so*",)),
    lowered_with=("openvino",),  # trials run on it
)

_DEVICE = "CPU"

COMPUTES_IN = "toolchain.computes_in"
"""The entry of a payload's metadata that says what its float layers are computed in: "bf16" is the only one that counts."""

# `import openvino` imports openvino.tools.ovc, which tells Google Analytics so and writes to ~/intel, unless one opted
# out. It converts models of other frameworks, which the agent never does; openvino does without it.
_TELEMETRY = ("openvino_telemetry", "openvino.tools.ovc")
# The types that numpy has; "string" ends the process when its request is freed, and bf16 would come as float16.
_DTYPES = {
    "f16": "float16",
    "f32": "float32",
    "f64": "float64",
    "boolean": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
}


def load() -> None:
    """Import OpenVINO without what it would tell others; raises ImportError where it is missing."""
    absent = [name for name in _TELEMETRY if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # whoever imports it gets an ImportError
    try:
        import openvino.frontend  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]


def _list_errors() -> Tuple[Type[Exception], ...]:
    # The frontend's exceptions derive from Exception alone; the core's are RuntimeError.
    from openvino.frontend import GeneralFailure, OpConversionFailure, OpValidationFailure

    return GeneralFailure, OpConversionFailure, OpValidationFailure, RuntimeError, ValueError, TypeError


def _first_line(error: BaseException) -> str:
    """Return the line that says what went wrong: those before it name OpenVINO's own source files."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    source = re.compile(r"(Exception from |Check '|FrontEnd API failed|Model wasn't fully|Summary:)")
    told = [line for line in lines if not source.match(line)] or lines or [type(error).__name__]
    return " ".join(told[: 2 if told[0].endswith(":") else 1])


def _name_port(port: Any) -> str:
    """Return the name in the graph: a port has several where a tensor is equal to an output, and any of them first."""
    names, friendly = port.get_names(), port.get_node().get_friendly_name()
    source = re.sub(r"/sink_port_\d+$", "", friendly)  # a Result is called after the graph's output
    return str(source if source in names else port.get_any_name())


def _read_spec(port: Any, path: Path) -> TensorSpec:
    kind, name = port.get_element_type().get_type_name(), _name_port(port)
    if kind not in _DTYPES:
        raise ToolchainError(
            code=ExitCode.INCOMPATIBLE,
            what="OpenVINO has no numpy array for an input or output",
            where=f"{name} of {path}",
            expected=f"one of {', '.join(_DTYPES.values())}",
            found=kind,
            fix="export the model with another type there",
        )
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.get_partial_shape())
    return TensorSpec(name=name, dtype=_DTYPES[kind], shape=shape)


class OpenVinoSession:
    """A payload compiled by OpenVINO."""

    engine = None  # the payload runs as it is

    def __init__(self, compiled: Any, path: Path) -> None:
        import openvino

        self._make_tensor = openvino.Tensor
        self._path = path
        self.inputs: Tuple[TensorSpec, ...] = tuple(_read_spec(port, path) for port in compiled.inputs)
        self.outputs: Tuple[TensorSpec, ...] = tuple(_read_spec(port, path) for port in compiled.outputs)
        self._request = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Dict[str, NDArray[np.generic]]:
        """Return one array per output; raises ToolchainError (exit 23) where the payload cannot take the feeds."""
        request = self._request
        try:
            if len(feeds) != len(self.inputs):
                raise self._refuse(f"inputs {', '.join(sorted(feeds)) or 'none'}")
            # Not request.infer(feeds): that casts types silently, keeps the last array of an input that is left out, and
            # returns an empty one for a shape that a dynamic input does not allow. set_input_tensor refuses all three.
            for index, spec in enumerate(self.inputs):
                array: Any = feeds[spec.name]
                if array.dtype != spec.dtype:
                    raise self._refuse(f"{spec.name} is {array.dtype}, not {spec.dtype}")
                if not (array.flags.c_contiguous and array.flags.writeable):  # a Tensor takes no other memory
                    array = array.copy()
                # It keeps the array alive until the next run sets another.
                request.set_input_tensor(index, self._make_tensor(array, shared_memory=True))
            request.infer()
            # `data` is a view of a buffer that the next run writes to.
            return {spec.name: request.get_output_tensor(i).data.copy() for i, spec in enumerate(self.outputs)}
        except KeyError as error:
            raise self._refuse(f"no input {error}") from error
        except _list_errors() as error:
            raise self._refuse(_first_line(error)) from error

    def _refuse(self, found: str) -> ToolchainError:
        return ToolchainError(
            code=ExitCode.MALFORMED,
            what="the payload fails to run",
            where=str(self._path),
            expected=", ".join(f"{spec.name} {spec.dtype} {spec.shape}" for spec in self.inputs),
            found=found,
            fix="make the bundle again from inputs of these names, types and shapes",
        )

    def close(self) -> None:
        """Give back the session's memory."""
        self._request = None


def _read_model(path: Path) -> Any:
    from openvino.frontend import FrontEndManager, OpConversionFailure

    def refuse(found: str) -> ToolchainError:
        return ToolchainError(
            code=ExitCode.MALFORMED,
            what="OpenVINO cannot open the payload",
            where=str(path),
            expected="an ONNX model",
            found=found,
            fix="export and lower the model again",
        )

    if not path.is_file():
        raise refuse("no file")
    try:
        # Not Core.read_model: where ONNX's frontend fails it tries the others, and TensorFlow's writes to stderr. It also
        # takes out inputs that nobody reads.
        frontend = FrontEndManager().load_by_framework("onnx")
        model = frontend.convert(frontend.load(str(path)))
    except OpConversionFailure as error:
        raise _refuse_operator(path, error) from error
    except _list_errors() as error:
        raise refuse(_first_line(error)) from error
    if not model.outputs:  # an empty file is an empty protobuf message, and no error
        raise refuse("a model without outputs")
    return model


def _refuse_operator(path: Path, error: BaseException) -> ToolchainError:
    return ToolchainError(
        code=ExitCode.INCOMPATIBLE,
        what=f"OpenVINO {read_version()} cannot run this payload",
        where=str(path),
        found=_first_line(error),
        fix="upgrade OpenVINO on the board, or lower the model for the version that is there",
    )


def _compile(model: Any, path: Path, threads: int, *, is_profiled: bool = False) -> Any:
    import openvino

    properties = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # The default is bf16 or f16 where the CPU has it: 49 dB instead of 129 on a pair of convolutions.
        "INFERENCE_PRECISION_HINT": _find_precision(model),
        # The default, 32, quantizes what a layer with int8 weights reads at run time: 46 dB instead of 135. It is a text
        # because 2024.4 refuses a number.
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        # The default, True, keeps a thread on one core whoever else is there, as no other runtime does here.
        "ENABLE_CPU_PINNING": False,
        # Not among SUPPORTED_PROPERTIES, but taken. Snippets hide chains of products in one layer of no known precision.
        "SNIPPETS_MODE": "DISABLE",
        "CACHE_DIR": "",
        "PERF_COUNT": is_profiled,
    }
    try:
        return openvino.Core().compile_model(model, _DEVICE, properties)
    except _list_errors() as error:
        raise _refuse_operator(path, error) from error


def _find_precision(model: Any) -> str:
    """Return what float is computed in: bf16 where the payload asks for it and the CPU has it, else float32.

    Without bf16 it would be emulated. The gate on precision finds float32 where bf16 was asked for.
    """
    entry = ["framework", COMPUTES_IN]  # where the frontend puts an ONNX file's metadata
    is_asked = model.has_rt_info(entry) and str(model.get_rt_info(entry).value) == "bf16"
    return "bf16" if is_asked and _has_bf16() else "f32"


def _has_bf16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


def read_version() -> str:
    """Return the version of OpenVINO as x.y.z: it calls itself "2026.4.1-22982-e213a147257-releases/2026/4"."""
    import openvino

    return str(openvino.get_version()).split("-", 1)[0]


def read_accelerator() -> Optional[str]:
    """Return None: this runtime uses the CPU alone."""
    return None


def read_details() -> Mapping[str, object]:
    """Return nothing: this runtime uses the CPU alone."""
    return {}


def open_session(path: Path, threads: int, _build: Optional[BuildRequest] = None) -> OpenVinoSession:
    """Open an ONNX file; raises ToolchainError: exit 23 malformed, 12 an operator that this version lacks."""
    return OpenVinoSession(_compile(_read_model(path), path, threads), path)


def read_placement(
    path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], _build: Optional[BuildRequest] = None
) -> Placement:
    """Return what each layer of the compiled graph runs as.

    Shapes are fixed to those of the feeds, so that the graph knows them all; the kernels are those of open_session.
    """
    return Placement(layers=tuple(layer for layer, _ in profile(path, threads, feeds, runs=0)))


def profile(
    path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]], *, runs: int
) -> Sequence[Tuple[Layer, Optional[float]]]:
    """Return the layers that multiply, each with its mean time in microseconds over the runs; None without any run."""
    model = _read_model(path)
    sources = {
        strip_name(node.get_friendly_name()) for node in model.get_ordered_ops() if node.get_type_name() in _SOURCES
    }
    model.reshape({port: list(feeds[_name_port(port)].shape) for port in model.inputs})
    compiled = _compile(model, path, threads, is_profiled=runs > 0)
    session = OpenVinoSession(compiled, path)
    for _ in range(runs):
        session.run(feeds)
    return read_layers(compiled.get_runtime_model().get_ordered_ops(), sources)


# The end of primitiveType is the type of a kernel's first input; I8 is uint8. runtimePrecision is the "largest" type
# among the inputs: i8 for a float kernel with int8 weights.
_PRECISIONS = {"I8": "int8", "i8": "int8", "f16": "fp16", "f32": "float32", "f64": "float64"}
# What the frontend and the low precision transformations add to the name of a node.
_ADDED = re.compile(r"(/WithoutBiases|/DequantizationMultiply|/DequantizationSubtract|_original|/MM)+$")
_MADE_UP = re.compile(r"[A-Z]\w*_\d+")  # OpenVINO's name of a node without one: ConvolutionBackpropData_406011
# Operators of the frontend's graph that become layers below: of the names of a fused layer, theirs is the one to tell.
_SOURCES = frozenset(
    """
    Convolution GroupConvolution ConvolutionBackpropData GroupConvolutionBackpropData MatMul LSTMSequence GRUSequence
    RNNSequence DeformableConvolution ScaledDotProductAttention
    """.split()  # noqa: SIM905
)


def strip_name(name: str) -> str:
    """Return the name of a node without what OpenVINO added to it."""
    return _ADDED.sub("", name)


def _drop_groups(shapes: Sequence[Shape]) -> Sequence[Shape]:
    # The weight of a convolution in groups is (groups, M / groups, C / groups, *kernel).
    extra = len(shapes[1]) - len(shapes[0])
    return [shapes[0], shapes[1][extra:], *shapes[2:]]


def _count_conv(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    return count_conv(_drop_groups(shapes), output, weight)


def _count_conv_transpose(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    return count_conv_transpose(_drop_groups(shapes), output, weight)


def _count_recurrent(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    # Between the sequence and its weights stand states and lengths, which differ from operator to operator.
    weights = [shape for shape in shapes[1:] if len(shape) == 3 and shape[1] > 1][-2:]
    return count_recurrent([shapes[0], *weights], output, weight) if len(shapes[0]) == 3 else None


_RULES: Dict[str, CountMacs] = {
    "Convolution": _count_conv,
    "Deconvolution": _count_conv_transpose,
    "FullyConnected": count_matmul,
    "MatMul": count_matmul,
    "LSTMSequence": _count_recurrent,
    "GRUSequence": _count_recurrent,
    "RNNSeq": _count_recurrent,
    "RNNSequence": _count_recurrent,
    # These multiply too, but shapes do not tell how much.
    **dict.fromkeys(
        """
        AUGRUCell AUGRUSequence BinaryConvolution DeformableConvolution GatherMatmul GRUCell LLMMLP LSTMCell MHA
        PagedAttention QKVProjection RNNCell ScaledDotProductAttention ScaledDotProductAttentionWithKVCache
        """.split(),  # noqa: SIM905
        count_nothing,
    ),
}


def read_layers(nodes: Sequence[Any], sources: Collection[str]) -> List[Tuple[Layer, Optional[float]]]:
    """Return the layers that multiply, from the nodes of a runtime model, each with its mean time in microseconds.

    sources: the names of the nodes in the frontend's graph that multiply.
    """
    layers: List[Tuple[Layer, Optional[float]]] = []
    for node in nodes:
        info = {key: value.value for key, value in node.get_rt_info().items()}
        kind, originals = info.get("layerType", ""), info.get("originalLayersNames", "")
        names = [strip_name(part) for part in originals.split(",") if part] or [strip_name(node.get_friendly_name())]
        if kind not in _RULES:
            # What multiplies inside of a layer of other work is told, and not counted: no share is proven then.
            hidden = dict.fromkeys(name for name in names if name in sources) if kind == "Subgraph" else ()
            layers += [(Layer(name=name, op=kind, precision="unknown", macs=None), None) for name in hidden]
            continue
        shapes = [_read_shape(node.input_value(index)) for index in range(node.get_input_size())]
        output = _read_shape(node.output(0))
        is_known = output is not None and None not in shapes
        suffix = info["primitiveType"].rsplit("_", 1)[-1]
        layer = Layer(
            name=_choose_name(names, sources),
            op=kind,
            precision=_PRECISIONS.get(suffix, suffix),
            macs=_RULES[kind](shapes, output, 1) if is_known else None,  # type: ignore[arg-type]
        )
        time_us = info.get("execTimeMcs", "")
        layers.append((layer, float(time_us) if re.fullmatch(r"\d+", str(time_us)) else None))
    return layers


def _read_shape(port: Any) -> Optional[Shape]:
    shape = port.get_partial_shape()
    return [size.get_length() for size in shape] if shape.is_static else None


def _choose_name(names: Sequence[str], sources: Collection[str]) -> str:
    """Return the name of a layer's node in the payload, or that of the tensor that leaves it."""
    named = [name for name in names if not _MADE_UP.fullmatch(name)] or names
    return next((name for name in named if name in sources), named[0])
