"""Export: the model as an ONNX file, proven equal to PyTorch; or the ONNX file that the recipe brings, checked."""

from __future__ import annotations

from pathlib import Path

from toolchain.cache import Entry, hash_file, read_versions
from toolchain.stages.run import PARITY_SAMPLES, Run, hash_code, write_json


def export(run: Run, weights: Path | None) -> Entry:
    """Return model.onnx of the module with these weights; None takes the recipe's ONNX file."""
    if weights is None:
        return _import_onnx(run)
    inputs = {
        "code": hash_code("builder.py", "weights.py", "export.py", "onnx_file.py", "float_parity.py"),
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
    path = run.recipe.folder / (run.recipe.model.onnx or "")
    inputs = {
        "code": hash_code("onnx_file.py", "onnx_safety.py"),
        "versions": read_versions("onnx"),
        "model": hash_file(path) if path.is_file() else None,
        "folder": str(path.parent),  # external data is looked for beside the file
    }

    def build(folder: Path) -> None:
        from toolchain.onnx_file import read_onnx, write_onnx

        write_onnx(read_onnx(path), folder / "model.onnx")

    return run.stage("import", inputs, build)
