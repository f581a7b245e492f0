import numpy as np
import pytest
import torch

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {"form": "ltrb", "classes": 3, "strides": [8, 16], "activated": False, "threshold": 0.3}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("anchor_free", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("anchor_free", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    grids = ("small", (4, 6)), ("large", (2, 3))
    return {name: generator.normal(size=(count, 7, *size)).astype(np.float32) for name, size in grids}, {}


ALL = {"iou_max": 1.0, "candidates": 30000, "detections": 10**6, "threshold": -1.0}


def decode(options, array):
    return find_decoder("anchor_free", {**ALL, **options}).decode({"y": np.array(array, np.float32)}, {})


def test_distances_reach_from_the_middle_of_the_cell():
    grid = np.zeros((1, 5, 2, 3))
    grid[0, :, 1, 2] = [1, 2, 3, 4, 0.9]
    made = decode({"form": "ltrb", "classes": 1, "strides": [8]}, grid)
    np.testing.assert_allclose(made["boxes"].values[0], [20 - 8, 12 - 16, 20 + 24, 12 + 32])
    grid[0, :4] = np.log(grid[0, :4] + 1e-30)
    other = decode({"form": "ltrb", "classes": 1, "strides": [8], "exponential": True}, grid)
    np.testing.assert_allclose(other["boxes"].values[0], made["boxes"].values[0], rtol=1e-5)


def test_centerness_lowers_the_score_as_in_fcos():
    grid = np.array([0, 0, 0, 0, 0.81, 0.25]).reshape(1, 6, 1, 1)
    made = decode({"form": "ltrb", "classes": 1, "strides": [8], "centerness": True}, grid)
    np.testing.assert_allclose(made["scores"].values, [0.45], rtol=1e-6)


def test_distances_of_dfl_are_the_mean_of_their_bins():
    generator = np.random.default_rng(0)
    grid = generator.normal(size=(1, 4 * 16 + 2, 3, 4))
    made = decode({"form": "dfl", "classes": 2, "strides": [8], "activated": False}, grid)
    shares = torch.softmax(torch.from_numpy(grid[0, :64].reshape(4, 16, 12)), dim=1)
    left, top, right, bottom = ((shares * torch.arange(16).reshape(1, 16, 1)).sum(dim=1) * 8).numpy()
    rows, columns = np.indices((3, 4)).reshape(2, -1)
    x, y = (columns + 0.5) * 8, (rows + 0.5) * 8
    expected = np.stack([x - left, y - top, x + right, y + bottom], axis=1)
    scores = 1 / (1 + np.exp(-grid[0, 64:].reshape(2, 12)))
    order = np.argsort(-scores.T.reshape(-1))
    np.testing.assert_allclose(made["boxes"].values, np.repeat(expected, 2, axis=0)[order], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(made["scores"].values, scores.T.reshape(-1)[order], rtol=1e-5)


def test_the_export_of_yolov8_is_read():
    output = np.array([[[20, 50], [10, 50], [8, 10], [4, 10], [0.9, 0.1], [0.2, 0.7]]])
    made = decode({"classes": 2, "threshold": 0.5}, output)
    np.testing.assert_allclose(made["boxes"].values, [[16, 8, 24, 12], [45, 45, 55, 55]])
    assert made["classes"].values.tolist() == [0, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 0},
        {"form": "xyxy"},
        {"strides": []},
        {"strides": [0, 8]},
        {"form": "cxcywh"},
        {"bins": 1},
        {"outputs": ["a"]},
    ],
)
def test_options_that_make_no_sense_are_refused(changes):
    refuse_options({**OPTIONS, **changes})


def test_grids_of_other_numbers_or_samples_are_refused():
    outputs, _ = draw(np.random.default_rng(0), 2)
    refuse(OPTIONS, {"small": outputs["small"]})
    refuse({**OPTIONS, "classes": 2**40}, outputs)
    refuse(OPTIONS, {**outputs, "small": outputs["small"][:1]})
