"""Compares two models on the same real data: output by output, and tensor by tensor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import onnx
from rich.console import Console
from rich.table import Table

from toolchain.agent.parity import Parity
from toolchain.agent.session import Session, open_session
from toolchain.deploy.transport import OnProgress
from toolchain.measure.payload import Arrays, choose_feeds, open_payload
from toolchain.onnx_file import read_onnx

# Enough to rank tensors by their error; a verdict takes the whole evaluation set.
_SAMPLES = 64


def compare_models(
    a: Path, b: Path, *, data: Path | None, layers: bool, on_progress: OnProgress
) -> list[dict[str, Any]]:
    """Return the distance of B's outputs from A's; with `layers`, first that of every inner tensor that both have.

    Tensors come in A's order, so the first row with a low SQNR is where B leaves A. Raises ToolchainError as opening
    the payloads does, and exit 2 without data, exit 18 where the outputs have other names, dtypes or shapes.
    """
    first = open_payload(a, data=data, threads=1, samples=_SAMPLES)
    second = open_payload(b, data=data, threads=1, samples=_SAMPLES)
    feeds = choose_feeds([first, second])
    inner = _find_common_tensors(first.path, second.path) if layers else []
    total = len(feeds) * (2 if inner else 1)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        on_progress("compare", done, total)

    rows = []
    if inner:
        rows += _compare(_watch(first.path, inner), _watch(second.path, inner), feeds, names=inner, advance=advance)
    return rows + _compare(first.session, second.session, feeds, names=None, advance=advance)


def print_comparison(rows: Sequence[dict[str, Any]], *, stream: TextIO) -> None:
    """Print the rows as a table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("tensor", "SQNR dB", "cosine", "max error", "p99 error", "non-finite"):
        table.add_column(heading, justify="left" if heading == "tensor" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["output"],
            f"{row['sqnr_db']:.1f}",
            f"{row['cosine']:.6f}",
            f"{row['max_abs']:.3g}",
            f"{row['p99_abs']:.3g}",
            str(row["nonfinite"]),
        )
    # Wider than a terminal may be: a name that is cut is of no use.
    Console(file=stream, width=200, highlight=False).print(table)


def _compare(
    a: Session, b: Session, feeds: Sequence[Arrays], *, names: Sequence[str] | None, advance: Callable[[], None]
) -> list[dict[str, Any]]:
    """Return the parity of the tensors with these names; None takes all outputs."""
    parity = Parity()
    for feed in feeds:
        reference, deployed = a.run(feed), b.run(feed)
        if names is not None:
            reference, deployed = ({name: outputs[name] for name in names} for outputs in (reference, deployed))
        parity.add(reference, deployed)
        advance()
    return [asdict(row) for row in parity.summarize()]


def _find_common_tensors(a: Path, b: Path) -> list[str]:
    """Return the names of the float tensors inside both graphs, in A's order."""
    models = [onnx.shape_inference.infer_shapes(read_onnx(path, trusted=True)) for path in (a, b)]
    floats = [
        {value.name for value in model.graph.value_info if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
        for model in models
    ]
    outputs = {value.name for model in models for value in model.graph.output}
    inner = (floats[0] & floats[1]) - outputs
    return [name for node in models[0].graph.node for name in node.output if name in inner]


def _watch(path: Path, names: Sequence[str]) -> Session:
    """Open a model with these inner tensors among its outputs."""
    model = read_onnx(path, trusted=True)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    with tempfile.TemporaryDirectory() as folder:
        watched = Path(folder) / "model.onnx"
        watched.write_bytes(model.SerializeToString())
        return open_session("onnxruntime", watched, 1)
