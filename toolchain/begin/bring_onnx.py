"""An ONNX file that is there: copied, or left beside its external data, and asked for its inputs and outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.begin.brought import Brought, Tensor
from toolchain.run.confine.confine import confine
from toolchain.run.confine.limits import Limits, measure_files
from toolchain.run.progress import Progress

if TYPE_CHECKING:
    from toolchain.run.confine.child import Relay


def bring_onnx(path: Path, folder: Path, *, progress: Progress) -> Brought:
    """Return an ONNX file as a model in this folder; it is read in a confined process.

    Raises ToolchainError as read_onnx does (exit 2, 23), and confine (exit 23).
    """
    limits = Limits(model_bytes=measure_files([path]))
    found = confine(lambda relay: _look(path, relay), limits=limits, progress=progress, where=str(path))
    inputs, outputs = (
        tuple(
            Tensor(name=name, dtype=dtype, axes=None if axes is None else tuple(axes))
            for name, dtype, axes in found[kind]
        )
        for kind in ("inputs", "outputs")
    )
    is_alone = not found["has_external_data"]
    return Brought(
        model={"onnx": "model.onnx" if is_alone else os.path.relpath(path.resolve(), folder.resolve())},
        files={"model.onnx": path} if is_alone else {},
        inputs=inputs,
        outputs=outputs,
        said=(
            "model.onnx is a copy" if is_alone else f"{path} stays where it is, with the files that hold its weights",
        ),
    )


def _look(path: Path, _relay: Relay) -> dict[str, Any]:
    import onnx

    from toolchain.graph.facts import read_facts
    from toolchain.graph.file import read_onnx
    from toolchain.graph.walk import iter_tensors
    from toolchain.run.confine import inside

    facts = read_facts(read_onnx(path))
    with inside.step("reading the file"):  # anew: the data lie in the model that was read
        own = onnx.load(path, load_external_data=False)
    external = any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in iter_tensors(own))
    return {
        "has_external_data": external,
        "inputs": [[tensor.name, tensor.dtype, tensor.shape] for tensor in facts.inputs],
        "outputs": [[tensor.name, tensor.dtype, tensor.shape] for tensor in facts.outputs],
    }
