"""Export: the model as an ONNX file, proven equal to PyTorch; or the ONNX file that the recipe brings, checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from toolchain.cache import Entry, read_versions
from toolchain.stages.run import PARITY_SAMPLES, Run, hash_code, write_json


def export(run: Run, weights: Path | None) -> Entry:
    """Return model.onnx of the module with these weights; None takes the recipe's ONNX file."""
    if weights is None:
        return _import_onnx(run)
    inputs = {
        "code": hash_code(
            "builder.py",
            "weights.py",
            "structure.py",
            "export.py",
            "onnx_file.py",
            "onnx_safety.py",
            "float_parity.py",
            "agent",
        ),
        "versions": read_versions("torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "numpy"),
        **run.identify_model(weights),
        **run.identify_calibration(PARITY_SAMPLES),
    }

    def build(folder: Path) -> None:
        from toolchain.export import check_export, export_onnx

        model, samples = run.load_model(weights), run.data.calibration
        export_onnx(model, samples.batch(0, 1), folder / "model.onnx")
        batch = samples.batch(0, min(PARITY_SAMPLES, len(samples)))
        write_json(folder / "export.json", {"sqnr_db": check_export(folder / "model.onnx", model, [batch])})

    return run.stage("export", inputs, build)


def _import_onnx(run: Run) -> Entry:
    """Read the recipe's ONNX file anew in every run: only its content says which other files its weights lie in."""
    from toolchain.onnx_file import read_onnx, write_onnx

    model = read_onnx(run.recipe.folder / (run.recipe.model.onnx or ""))
    content = hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    return run.stage("import", {"model": content}, lambda folder: write_onnx(model, folder / "model.onnx"))
