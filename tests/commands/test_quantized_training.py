"""Methods around int8, by the real command: what they leave is deployed as int8 and proven."""

import json

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.tiny_project import draw_patterns
from toolchain.run.cache import hash_json

DATA = """
[train]
data = "image_folder"
options = { folder = "../../pictures", size = 8, mean = [0.5, 0.5, 0.5], std = [0.125, 0.125, 0.125] }

"""

QAT = """
[[compress]]
method = "qat"
weight_bits = 7
finetune = { epochs = 2, batch_size = 16, learning_rate = 0.001 }

"""

REPAIR = """
[[compress]]
method = "equalization"

[[compress]]
method = "bias_correction"
bits = 7

"""


@pytest.fixture
def trainable(project):
    """Return the project with pictures of its patterns to train on."""
    images, labels = draw_patterns(64, seed=3)
    pixels = np.clip((images * 0.125 + 0.5) * 255, 0, 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    for index, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        for part in ("train", "test"):
            folder = project.folder / "pictures" / part / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / f"{index}.png")
    project.edit_recipe("[gates]", f"{DATA}[gates]")
    return project


def read_lowering(project, report, precision):
    """Return lowering.json of the run that the report is of, and the payload."""
    sha256 = next(stage["sha256"] for stage in report["stages"] if stage["name"] == f"lower-{precision}")
    entries = {hash_json(json.loads(path.read_text())["files"]): path for path in project.cache.rglob("entry.json")}
    folder = entries[sha256].parent
    return json.loads((folder / "lowering.json").read_text()), onnx.load(folder / "model.onnx")


def test_a_model_trained_for_int8_is_deployed_with_the_ranges_that_it_learned(trainable):
    trainable.edit_recipe("[gates]", f"{QAT}[gates]")
    trainable.assert_passed(trainable.deploy())
    report = trainable.read_report()
    assert report["parity"][0]["sqnr_db"] > 35  # against the trained model; int8 of calibrated ranges has 20 to 40
    for precision in ("int8", "float32"):
        lowering, payload = read_lowering(trainable, report, precision)
        assert lowering["trained_for_int8"]
        assert not payload.metadata_props
        if precision == "int8":
            assert set(lowering["range_sources"].values()) == {"learned"}
            assert list(lowering["calibration_sqnr_db"]) == ["learned"]
            assert lowering["scheme"]["trained_weight_bits"] == 7
    trainable.assert_passed(trainable.deploy("--precision", "float32"))


def test_a_repaired_model_is_deployed(project):
    project.edit_recipe("[gates]", f"{REPAIR}[gates]")
    project.assert_passed(project.deploy())
    report = project.read_report()
    assert report["metric"]["drop"] <= 0.05
    assert [stage["name"] for stage in report["stages"] if stage["name"].startswith("compress")] == [
        *("compress-1-equalization", "compress-2-bias_correction"),
    ]


def test_qat_of_a_layer_that_is_not_there_is_exit_2(trainable):
    entry = QAT.replace("weight_bits", 'layers = ["9"]\nweight_bits')
    trainable.edit_recipe("[gates]", f"{entry}[gates]")
    result = trainable.deploy()
    trainable.assert_stopped(result, 2, "usage")
    assert "found 9" in result.stderr
