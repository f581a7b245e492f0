"""Compress: the recipe's methods, in its order."""

from __future__ import annotations

from pathlib import Path

from toolchain.cache import read_versions
from toolchain.stages.run import Run, hash_code


def compress(run: Run, weights: Path | None) -> Path | None:
    """Return the weights of the compressed model; those that came in where the recipe compresses nothing."""
    entries = run.recipe.compress
    if not entries or weights is None:
        return weights
    inputs = {
        "code": hash_code("compress", "builder.py", "weights.py"),
        "versions": read_versions("torch", "torchvision", "numpy"),
        "compress": entries,
        **run.identify_model(weights),
    }

    def build(folder: Path) -> None:
        from toolchain.compress import compress_model
        from toolchain.weights import save_weights

        model = compress_model(run.load_model(weights), entries, where=str(run.recipe.path))
        save_weights(model, folder / "weights.safetensors", {"compress": entries})

    return run.stage("compress", inputs, build).folder / "weights.safetensors"
