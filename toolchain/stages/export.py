"""Export: the model as an ONNX file, proven equal to PyTorch; or the ONNX file that the recipe brings, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.run.cache import Entry
from toolchain.stages.run import PARITY_SAMPLES, Run, write_json

if TYPE_CHECKING:
    from toolchain.module.structure import Edit


def export(run: Run, weights: Path | None) -> Entry:
    """Return model.onnx of the module with these weights; None takes the recipe's ONNX file."""
    if weights is None:
        return _import_onnx(run)
    inputs = {
        **run.identify_code(__name__, libraries=("torchvision", "onnxscript")),
        **run.identify_model(weights),
        **run.identify_calibration(PARITY_SAMPLES),
    }

    def build(folder: Path) -> None:
        from toolchain.module.export import check_export, export_onnx
        from toolchain.stages.module import load_compressed, load_model

        samples, path = run.data.calibration, folder / "model.onnx"
        batch = samples.batch(0, min(PARITY_SAMPLES, len(samples)))
        export_onnx(load_model(run, weights), batch, path)
        model, edits = load_compressed(run, weights)
        _take_learned_ranges(path, edits)
        write_json(folder / "export.json", {"sqnr_db": check_export(path, model, [batch])})

    return run.stage("export", inputs, build)


def _take_learned_ranges(path: Path, edits: Sequence[Edit]) -> None:
    """Make the pairs of learned ranges in a file the float graph that they stand in, and an entry of its metadata."""
    from toolchain.graph.file import read_onnx, write_onnx
    from toolchain.graph.learned_ranges import take_pairs
    from toolchain.module.structure import FixWeights, LearnedRange

    count = sum(isinstance(edit, LearnedRange) for edit in edits)
    if count:
        bits = max((edit.bits for edit in edits if isinstance(edit, FixWeights)), default=8)
        write_onnx(take_pairs(read_onnx(path, trusted=True), count=count, weight_bits=bits), path, step="export")


def _import_onnx(run: Run) -> Entry:
    """Read the recipe's ONNX file anew in every run: only its content says which other files its weights lie in.

    ONNX Runtime opens no graph with two nodes of one name, which ONNX allows and which says nothing: they get others.
    """
    from toolchain.graph.file import read_onnx, write_onnx
    from toolchain.graph.input_defaults import settle_defaults
    from toolchain.graph.node_names import has_repeated_names, name_nodes
    from toolchain.graph.randomness import explain_randomness, find_random_node

    model = read_onnx(run.recipe.folder / (run.recipe.model.onnx or ""))
    if (node := find_random_node(model)) is not None:
        raise explain_randomness(f"{run.recipe.model.onnx}: node {node}", "an operator that draws random numbers")
    if has_repeated_names(model):
        model = name_nodes(model)
    settled = settle_defaults(model, run.data.calibration.batch(0, 1).keys())
    content = hashlib.sha256(settled.model.SerializeToString(deterministic=True)).hexdigest()

    def build(folder: Path) -> None:
        write_onnx(settled.model, folder / "model.onnx", step="import")
        write_json(folder / "import.json", {"defaults_as_constants": settled.constants, "defaults_fed": settled.fed})

    inputs = {**run.identify_code(__name__), "model": content, "fed": settled.fed}
    return run.stage("import", inputs, build)
