"""Our int8 graphs for TensorRT against those of NVIDIA's ModelOpt: SQNR of the logits, side by side.

    python -m venv modelopt && modelopt/bin/pip install 'nvidia-modelopt[onnx]'
    python -m benchmarks.tensorrt_qdq --modelopt modelopt/bin/python [MODEL ...]

ModelOpt pins an older onnx and onnxruntime than ours, so it has an environment of its own. For each model, one JSON line:
the SQNR against the float32 model of ours (the calibration that the lowering chooses) and of ModelOpt with each of its
two calibrations, both with float16 around int8, the same 32 pictures to calibrate and 64 others to judge; and what is
int8 in each. resnet18, mobilenet_v2 and efficientnet_b0 at 224 have seeded random filters and the batch-norm statistics
of real pictures (benchmarks/families.py), because their public weights are not here: the numbers are comparable with
each other and not with those of trained models. The gate is off: no layer goes back to float.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from benchmarks.families import Family, build_family, read_pictures
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.parity import Parity
from toolchain.lower import LowerRequest, lower_model
from toolchain.lower.trial import open_emulated
from toolchain.module.export import export_onnx
from toolchain.optimize import optimize
from toolchain.project.find import find_target
from toolchain.project.recipe import QuantizeSection

_MODELS = ("resnet18", "mobilenet_v2", "efficientnet_b0")
_SIZE = 224
_CALIBRATION = 32
_EVALUATION = 64
_THREADS = 2
_THEIR_METHODS = ("max", "entropy")
_GATE_OFF_DB = -200.0


def run_model(model: onnx.ModelProto, pictures: NDArray[np.float32]) -> list[NDArray[Any]]:
    """Return the logits of every picture, in float16 as a GPU rounds it."""
    session = open_emulated(model, threads=_THREADS)
    return [next(iter(session.run({"input": pictures[i : i + 1]}).values())) for i in range(len(pictures))]


def measure_sqnr_db(reference: Sequence[NDArray[Any]], deployed: Sequence[NDArray[Any]]) -> float:
    """Return the SQNR of the logits in dB."""
    parity = Parity()
    for expected, found in zip(reference, deployed, strict=True):
        parity.add({"output": expected}, {"output": found})
    return round(parity.summarize()[0].sqnr_db, 2)


def count_int8(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many nodes of each kind read a DequantizeLinear."""
    pairs = {name for node in model.graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    found: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" and set(node.input) & pairs:
            found[node.op_type] = found.get(node.op_type, 0) + 1
    return dict(sorted(found.items()))


def compare_model(name: str, modelopt: Path, folder: Path) -> dict[str, Any]:
    """Return the row of one model."""
    pictures = read_pictures(0, _CALIBRATION + _EVALUATION, size=_SIZE)
    calibration, evaluation = pictures[:_CALIBRATION], pictures[_CALIBRATION:]
    source = folder / "float.onnx"
    export_onnx(build_family(Family(name, size=_SIZE)), {"input": calibration[:1]}, folder / "exported.onnx")
    optimized = optimize(onnx.load(folder / "exported.onnx"), [{"input": calibration[:1]}]).model
    onnx.save(optimized, source)
    reference = run_model(optimized, evaluation)

    request = LowerRequest(
        model=source,
        exported=source,
        target=find_target("jetson"),
        precision="int8",
        facts=read_facts("onnxruntime"),
        feeds=[{"input": calibration[i : i + 1]} for i in range(_CALIBRATION)],
        options=QuantizeSection(),
        sqnr_db_min={"int8": _GATE_OFF_DB},
    )
    lower_model(request, folder, start_steps=lambda _name, _total: lambda: None)
    ours = onnx.load(folder / "model.onnx")

    np.save(folder / "pictures.npy", calibration)
    theirs: dict[str, onnx.ModelProto] = {}
    for method in _THEIR_METHODS:
        out = folder / f"{method}.onnx"
        script = Path(__file__).with_name("modelopt_quantize.py")
        subprocess.run(
            [modelopt, script, source, folder / "pictures.npy", method, out], check=True, capture_output=True
        )
        theirs[method] = onnx.load(out)
    theirs_db = {method: measure_sqnr_db(reference, run_model(model, evaluation)) for method, model in theirs.items()}
    ours_db = measure_sqnr_db(reference, run_model(ours, evaluation))
    return {
        "model": name,
        "ours_sqnr_db": ours_db,
        "theirs_sqnr_db": theirs_db,
        "ours_minus_best_of_theirs_db": round(ours_db - max(theirs_db.values()), 2),
        "ours_reads_int8": count_int8(ours),
        "theirs_reads_int8": count_int8(theirs["max"]),
    }


def main() -> None:
    """Print one row per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modelopt", type=Path, required=True, help="the Python that has nvidia-modelopt[onnx]")
    parser.add_argument("models", nargs="*", default=_MODELS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            row = compare_model(name, arguments.modelopt.absolute(), Path(folder))
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
