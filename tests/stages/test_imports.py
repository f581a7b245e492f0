"""What a stage really imports while it builds is a part of its key: found out by building."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tiny_project import draw_patterns, tiny
from toolchain.run.sources import find_sources

__all__ = ["tiny"]

REPOSITORY = Path(__file__).parents[2]
METHODS = {
    "magnitude_pruning": "amount = 0.2\nfinetune = { epochs = 1, batch_size = 32 }",
    "distillation": 'teacher = "recipe.toml"\nfinetune = { epochs = 1, batch_size = 32 }',
    "kmeans_quantization": "bits = 6",
    "qat": "finetune = { epochs = 1, batch_size = 32 }",
}
STAGES = [
    *("export", "optimize", "golden", "lower-int8", "lower-float32", "explain", "bundle", "jetson-int8", "jetson-fp16"),
    *(f"learn-{method}" for method in METHODS),
]


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    """Return what every stage imported, and what its key holds."""
    folder = tmp_path_factory.mktemp("imports") / "project"
    shutil.copytree(tiny, folder)
    images, labels = draw_patterns(64, seed=1)
    np.savez(folder / "data" / "learn.npz", input=images, labels=labels)
    recipe = folder / "models" / "tiny" / "recipe.toml"
    text = recipe.read_text().replace('"minmax"', '"auto"')
    recipe.write_text(text)
    text = text.replace('"../../data/tiny.npz"', '"../../data/learn.npz", evaluation = "../../data/tiny.npz"')
    for method, options in METHODS.items():
        entry = f'[[compress]]\nmethod = "{method}"\n{options}\n'
        (recipe.parent / f"learn-{method}.toml").write_text(f"{text}\n{entry}")
    shutil.copy(folder / "targets" / "board.toml", folder / "board.toml")
    (folder / "jetson.toml").write_text('runtime = "tensorrt"\nprecision = ["int8", "fp16"]\nsignature = "optional"\n')
    own = {"PYTHONPATH": str(REPOSITORY), "TOOLCHAIN_CACHE": str(folder.parent / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.stages.stage_imports", folder],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,  # ends a test that hangs; nothing is measured by it
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_imports_while_it_builds_is_a_part_of_its_key(built, stage):
    imported, hashed = (set(built[stage][kind]) for kind in ("imported", "hashed"))
    assert (
        f"toolchain.stages.{stage.replace('learn', 'compress').replace('jetson', 'lower').partition('-')[0]}"
        in imported
    )
    assert imported - hashed == set()


def test_what_import_statements_show_alone_would_not_be_enough(built):
    hashed = set(find_sources().list_imports("toolchain.stages.compress"))
    missed = {"toolchain.data.npz", "toolchain.compress.methods.qat"}
    assert set(built["learn-qat"]["imported"]) - hashed >= missed


def test_every_stage_was_looked_at(built):
    assert built.keys() == set(STAGES)
