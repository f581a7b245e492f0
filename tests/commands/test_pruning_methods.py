"""Every method that prunes, from the recipe to the proven bundle, by the real command."""

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image

from tests.tiny_project import Project


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """Return a project with a trained residual net and its pictures, and a cache for all methods."""
    folder = tmp_path_factory.mktemp("pruning") / "project"
    shutil.copytree(tiny, folder)
    generator = np.random.default_rng(0)
    for part, count in (("train", 16), ("test", 8)):
        for label in range(4):
            pictures = folder / "pictures" / part / str(label)
            pictures.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 60, (8, 8, 3)) + 60 * label
                Image.fromarray(pixels.astype(np.uint8)).save(pictures / f"{index}.png")
    project = Project(folder=folder, cache=folder.parent / "cache")
    project.add_target(
        "light", 'runtime = "onnxruntime"', 'precision = ["float32"]', "emulated = true", 'signature = "optional"'
    )
    result = project.run("train", "residual")
    assert result.code == 0, result.stderr
    return project


SHORT = "{ epochs = 1, batch_size = 16 }"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('method = "magnitude_pruning"\namount = 0.5', "zeros"),
        ('method = "nm_pruning"\nskip = ["0.0"]', "zeros"),
        (f'method = "gradual_pruning"\namount = 0.5\nfinetune = {SHORT}', "zeros"),
        ('method = "structured_pruning"\nmacs_ratio = 0.6', "smaller"),
        (f'method = "channel_sparsity"\nsparsify = {SHORT}\namount_min = 0.25\nskip = ["4"]', "smaller"),
        (f'method = "group_sparsity"\nsparsify = {SHORT}\nneurons = true\namount_min = 0.5', "smaller"),
        (f'method = "group_sparsity"\nsparsify = {SHORT}\nblocks = true\nblocks_min = 1', "smaller"),
    ],
    ids=["magnitude", "nm", "gradual", "structured", "channels", "neurons", "blocks"],
)
def test_a_pruned_model_is_deployed_and_proven(trained, tmp_path, entry, expected):
    shutil.copytree(trained.folder, tmp_path / "project")
    project = Project(folder=tmp_path / "project", cache=trained.cache)
    project.edit("models/residual/recipe.toml", "[gates]", f"[[compress]]\n{entry}\n\n[gates]")
    out = tmp_path / "out"
    project.assert_passed(project.run("deploy", "residual", "--target", "light", "--out", out), out)
    before, after = (
        read_weights(out / "bundle" / "payload" / name) for name in ("reference/model.onnx", "float32/model.onnx")
    )
    if expected == "zeros":
        assert (after == 0).mean() > (before == 0).mean() + 0.3
    else:
        assert after.size < before.size


def read_weights(path):
    """Return the weights as a session has them: what lies packed in the file is expanded."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path.with_suffix(".opened.onnx"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    opened = onnx.load(options.optimized_model_filepath)
    weights = [numpy_helper.to_array(array).ravel() for array in opened.graph.initializer]
    return np.concatenate([weight for weight in weights if weight.dtype == np.float32])
