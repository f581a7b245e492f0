"""What the ranges are worth: ours against ONNX Runtime's methods, the same pictures, the same Q/DQ writer.

    python -m benchmarks.calibration_quality [--weights models/resnet18/weights.safetensors] [--output FILE.jsonl]

mobilenet_v2 at 224 (benchmarks/mobilenet.py): SQNR of the logits over 128 pictures. A picture as Fashion-MNIST has it
has one constant background; whether a quantizer represents that one number is luck, and moves the SQNR by more than any
method does. So there is a second row in which every picture has its own gain, color and noise, as a camera's has.
resnet18 on Fashion-MNIST, where its weights are given: SQNR and top-1 over all 10,000 test pictures.

Ranges from one draw of calibration pictures are luck too: widening them at random by 0 to 2 % moves resnet18's top-1 by
0.04 points. So every number is the mean over draws of other pictures, and *_error the standard error of the difference
between ours and theirs on the same draw. One JSON line per model and method. mse, which ONNX Runtime does not have, is
held against the best of its methods, column by column.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from benchmarks.mobilenet import build_mobilenet, read_pictures
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.parity import Parity
from toolchain.data import load_dataset
from toolchain.graph.session import open_as_board
from toolchain.lower.calibration import calibrate
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.qdq import write_qdq
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import plan_int8
from toolchain.module.builder import build_model
from toolchain.module.export import export_onnx
from toolchain.module.weights import load_weights
from toolchain.project.find import find_recipe

_THEIRS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
_ORDER = (*_THEIRS, "mse")
_DRAWS = 4
_THREADS = 2

Pictures = NDArray[np.float32]
Ranges = dict[str, TensorRange]


@dataclass(frozen=True)
class Subject:
    """A float model, and the pictures to calibrate and to judge it with."""

    name: str
    path: Path
    draws: Sequence[Pictures]
    evaluation: Pictures
    labels: NDArray[np.int64] | None
    batch: int

    def split(self, pictures: Pictures) -> Iterator[dict[str, Pictures]]:
        """Yield the pictures in batches."""
        for start in range(0, len(pictures), self.batch):
            yield {"input": pictures[start : start + self.batch]}


@dataclass(frozen=True)
class Score:
    """What an int8 model returns for the evaluation pictures."""

    sqnr_db: float
    top1_percent: float
    """NaN where the pictures have no labels."""


def find_their_ranges(subject: Subject, method: str, draw: Pictures, tensors: Sequence[str]) -> Ranges:
    """Return the ranges that one of ONNX Runtime's calibrators finds."""
    batches = subject.split(draw)

    class Reader(CalibrationDataReader):
        def get_next(self) -> Any:
            return next(batches, None)

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        calibrator = create_calibrator(
            subject.path,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod[_THEIRS[method]],
        )
        calibrator.collect_data(Reader())
        found = calibrator.compute_data()
    bounds = {name: [float(np.ravel(bound)[0]) for bound in found[name].range_value] for name in tensors}
    return {name: TensorRange(low=low, high=high) for name, (low, high) in bounds.items()}


def run_subject(subject: Subject, model: onnx.ModelProto) -> NDArray[np.float32]:
    """Return the logits of a model for the evaluation pictures."""
    session = open_as_board(model, threads=_THREADS)
    return np.concatenate([next(iter(session.run(batch).values())) for batch in subject.split(subject.evaluation)])


def score_subject(subject: Subject) -> dict[tuple[str, str], list[Score]]:
    """Return, by side and method, the score of each draw."""
    model = onnx.load(subject.path)
    plan = plan_int8(model)
    facts = read_facts("onnxruntime")
    scheme = choose_scheme(facts.arch, frozenset(facts.cpu_features), "auto")
    reference = run_subject(subject, model)

    def score(ranges: Ranges) -> Score:
        logits = run_subject(subject, write_qdq(model, plan, ranges, scheme))
        parity = Parity()
        parity.add({"output": reference}, {"output": logits})
        hits = np.nan if subject.labels is None else (logits.argmax(axis=1) == subject.labels).mean()
        return Score(sqnr_db=parity.summarize()[0].sqnr_db, top1_percent=100.0 * float(hits))

    scores: dict[tuple[str, str], list[Score]] = {}
    for draw in subject.draws:
        for method in _ORDER:
            ranges = calibrate(
                model, plan.tensors, subject.split(draw), method=method, symmetric=scheme.symmetric, threads=_THREADS
            )
            scores.setdefault(("ours", method), []).append(score(ranges))
        for method in _THEIRS:
            scores.setdefault(("theirs", method), []).append(
                score(find_their_ranges(subject, method, draw, plan.tensors))
            )
    return scores


def compare(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return the means, their difference, and its standard error."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    return {
        "ours": statistics.mean(ours),
        "theirs": statistics.mean(theirs),
        "difference": statistics.mean(differences),
        "error": statistics.stdev(differences) / len(differences) ** 0.5,
    }


def describe_subject(subject: Subject) -> Iterator[dict[str, Any]]:
    """Yield one row per method."""
    scores = score_subject(subject)
    columns: dict[str, Callable[[Score], float]] = {"sqnr_db": lambda score: score.sqnr_db}
    if subject.labels is not None:
        columns["top1_percent"] = lambda score: score.top1_percent
    for method in _ORDER:
        row: dict[str, Any] = {
            "method": method,
            "model": subject.name,
            "draws": len(subject.draws),
            "images": len(subject.draws[0]),
            "evaluation_images": len(subject.evaluation),
        }
        for column, read in columns.items():
            values = {key: [read(score) for score in found] for key, found in scores.items()}
            means = {name: statistics.mean(values["theirs", name]) for name in _THEIRS}
            against = method if method in _THEIRS else max(means, key=lambda name: means[name])
            compared = compare(values["ours", method], values["theirs", against])
            row |= {f"{key}_{column}": round(value, 3) for key, value in compared.items()}
            row |= {f"theirs_{column}_by": against}
        yield row


def vary_as_a_camera(pictures: Pictures, seed: int) -> Pictures:
    """Return the pictures, (n, 3, H, W), each with its own gain (0.6 to 1.4), color (σ 0.5) and noise (σ 0.1)."""
    generator = np.random.default_rng(seed)
    count = len(pictures)
    gain = generator.uniform(0.6, 1.4, (count, 1, 1, 1))
    color = generator.normal(0.0, 0.5, (count, 3, 1, 1))
    noise = generator.normal(0.0, 0.1, pictures.shape)
    varied: Pictures = (gain * pictures + color + noise).astype(np.float32)
    return varied


def open_mobilenet(folder: Path) -> Iterator[Subject]:
    """Yield mobilenet_v2 with plain pictures, then with varied ones; 64 pictures a draw."""
    path = folder / "mobilenet_v2.onnx"
    export_onnx(build_mobilenet(), {"input": read_pictures(0, 1)}, path)
    draws = [read_pictures(64 * draw, 64 * draw + 64) for draw in range(_DRAWS)]
    # The pictures from 256 to 320 made the batch-norm statistics.
    evaluation = read_pictures(320, 448)
    yield Subject("mobilenet_v2", path, draws, evaluation, labels=None, batch=1)
    varied = [vary_as_a_camera(draw, seed) for seed, draw in enumerate(draws)]
    yield Subject("mobilenet_v2, varied pictures", path, varied, vary_as_a_camera(evaluation, 9), labels=None, batch=1)


def open_resnet18(folder: Path, weights: Path) -> Subject:
    """Return resnet18 on the full Fashion-MNIST; 256 pictures a draw."""
    recipe = find_recipe("resnet18")
    model = build_model(recipe)
    load_weights(model, weights)
    data = load_dataset("fashion_mnist", {})
    draws = [data.calibration.batch(256 * draw, 256 * draw + 256)["input"] for draw in range(2 * _DRAWS)]
    evaluation = data.evaluation.batch(0, len(data.evaluation))["input"]
    path = folder / "resnet18.onnx"
    export_onnx(model, {"input": draws[0][:1]}, path)
    return Subject("resnet18", path, draws, evaluation, data.evaluation.targets["labels"], batch=32)


def main() -> None:
    """Print one row per model and method, and write them to a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="resnet18's weights; without them it is left out")
    parser.add_argument(
        "--models", nargs="+", choices=("mobilenet_v2", "resnet18"), default=("mobilenet_v2", "resnet18")
    )
    parser.add_argument("--output", type=Path, help="also write the lines to this file")
    arguments = parser.parse_args()
    if arguments.weights is None and "resnet18" in arguments.models:
        print("resnet18 is left out: its weights are not in the repository; make them, name them", file=sys.stderr)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        subjects: list[Subject] = []
        if "resnet18" in arguments.models and arguments.weights is not None:
            subjects.append(open_resnet18(folder, arguments.weights))
        if "mobilenet_v2" in arguments.models:
            subjects.extend(open_mobilenet(folder))
        for subject in subjects:
            for row in describe_subject(subject):
                rows.append(row)
                print(json.dumps(row), flush=True)
    if arguments.output is not None:
        arguments.output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
