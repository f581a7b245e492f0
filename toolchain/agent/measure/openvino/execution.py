"""Runs a compiled payload: arrays in and out, each checked, for OpenVINO casts and keeps silently."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Mapping, Tuple

from ...errors import ExitCode, ToolchainError
from ...manifest import TensorSpec
from .library import list_errors, read_first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


def name_port(port: Any) -> str:
    """Return the name in the graph: a port has several where a tensor is equal to an output, and any of them first."""
    names, friendly = port.get_names(), port.get_node().get_friendly_name()
    source = re.sub(r"/sink_port_\d+$", "", friendly)  # a Result is called after the graph's output
    return str(source if source in names else port.get_any_name())


def _read_spec(port: Any, path: Path) -> TensorSpec:
    kind, name = port.get_element_type().get_type_name(), name_port(port)
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
            request.infer(share_outputs=True)  # else what it returns, which nobody reads, would be copied
            # `data` is a view of a buffer that the next run writes to.
            return {spec.name: request.get_output_tensor(i).data.copy() for i, spec in enumerate(self.outputs)}
        except KeyError as error:
            raise self._refuse(f"no input {error}") from error
        except list_errors() as error:
            raise self._refuse(read_first_line(error)) from error

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
