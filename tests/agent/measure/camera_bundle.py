"""A bundle of a small model behind a camera, with golden pairs at both ends."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from tests.conftest import build_model
from tests.sensors import change_camera
from toolchain.agent.manifest import DecoderSpec, MetricSpec, TensorSpec
from toolchain.agent.sensor import OutputSpec
from toolchain.bundle import GoldenBatch
from toolchain.graph.input_processing import put_input_in_front
from toolchain.graph.session import HostSession

CAMERA = change_camera(height=8, width=8, resize="letterbox")
SAMPLES = 6


def describe_camera_bundle(folder: Path, *, colour=CAMERA.picture.colour, **changes):
    """Return what make_bundle is to change."""
    camera = replace(CAMERA, picture=replace(CAMERA.picture, colour=colour))
    model = put_input_in_front(onnx.load_from_string(build_model("float32")), camera)
    path = folder / "camera.onnx"
    onnx.save(model, path)
    frames = np.random.default_rng(0).integers(0, 256, (SAMPLES, 8, 8, 3), dtype=np.uint8)
    outputs = HostSession(path).run({"input": frames})
    golden = [GoldenBatch(inputs={"input": frames}, outputs=outputs)]
    labels = outputs["logits"].argmax(axis=1).astype(np.int64)
    return {
        "candidates": {"float32": path},
        "reference": path,
        "original": path,
        "inputs": [TensorSpec(name="input", dtype="uint8", shape=(None, 8, 8, 3))],
        "golden": golden,
        "golden_samples": SAMPLES,
        "targets": {"labels": labels},
        "metric": MetricSpec(name="top1", reference=1.0, decoder=DecoderSpec(name="softmax")),
        "sensor": camera,
        "output": OutputSpec(classes=("a", "b", "c", "d")),
        **changes,
    }
