"""Lowering for TensorRT for RTX: TensorRT's graph, and the engine of it for the GPUs that the target lists."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from toolchain.lower.request import Lowering, LowerRequest, StartSteps
from toolchain.lower.runtimes import tensorrt
from toolchain.lower.tensorrt.profile import find_profile
from toolchain.lower.tensorrt.rtx import build_engine


def _lower_and_build(lower: Lowering, request: LowerRequest, folder: Path, start_steps: StartSteps) -> dict[str, Any]:
    document = lower(request, folder, start_steps)
    capabilities = request.target.compute_capabilities
    engine = build_engine(
        onnx.load(folder / "model.onnx"),
        compute_capabilities=capabilities,
        profile=find_profile(request.feeds),
        sparse_weights=bool(document["sparse_2_4"]),
    )
    (folder / "model.engine").write_bytes(engine)
    return {**document, "compute_capabilities": capabilities}


preview = tensorrt.preview

LOWERINGS: Mapping[str, Lowering] = {
    precision: partial(_lower_and_build, lowering) for precision, lowering in tensorrt.LOWERINGS.items()
}
