import math

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {"strides": [8, 16], "anchors": [[10, 13, 16, 30], [30, 61, 62, 45]], "classes": 3, "threshold": 0.3}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("yolo", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("yolo", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    return {
        "small": generator.normal(size=(count, 2 * 8, 4, 6)).astype(np.float32),
        "large": generator.normal(size=(count, 2, 2, 3, 8)).astype(np.float32),
    }, {}


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def decode_cell(numbers, column, row, stride, anchor, options):
    """Return box and scores of a cell, as the papers have them."""
    x, y, wide, high, *rest = map(float, numbers)
    if options["formula"] == "v5":
        x, y = (2 * sigmoid(x) - 0.5 + column) * stride, (2 * sigmoid(y) - 0.5 + row) * stride
        wide, high = anchor[0] * (2 * sigmoid(wide)) ** 2, anchor[1] * (2 * sigmoid(high)) ** 2
    else:
        plain = options["formula"] == "x"
        x, y = ((value if plain else sigmoid(value)) for value in (x, y))
        x, y, anchor = (x + column) * stride, (y + row) * stride, (stride, stride) if plain else anchor
        wide, high = anchor[0] * math.exp(wide), anchor[1] * math.exp(high)
    scores = rest if options.get("activated") else [sigmoid(value) for value in rest]
    scores = [scores[0] * score for score in scores[1:]] if options.get("objectness", True) else scores
    return [x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], scores


@pytest.mark.parametrize(
    "changes",
    [
        {"formula": "v5"},
        {"formula": "v3"},
        {"formula": "v5", "objectness": False, "classes": 4},
        {"formula": "v3", "activated": True},
    ],
)
def test_cells_are_decoded_as_the_papers_have_them(changes):
    options = {**OPTIONS, **changes, "iou_max": 1.0, "candidates": 30000, "detections": 10**6, "threshold": -100.0}
    outputs, _ = draw(np.random.default_rng(1), 1)
    made = find_decoder("yolo", options).decode(outputs, {})
    expected = []
    for index, grid in enumerate([outputs["small"].reshape(1, 2, 8, 4, 6).transpose(0, 1, 3, 4, 2), outputs["large"]]):
        for place in np.ndindex(grid.shape[1:4]):
            anchor = options["anchors"][index][2 * place[0] : 2 * place[0] + 2]
            cell = decode_cell(grid[0][place], place[2], place[1], options["strides"][index], anchor, options)
            expected += [(score, label, *cell[0]) for label, score in enumerate(cell[1])]
    found = np.column_stack([made["scores"].values, made["classes"].values, made["boxes"].values])
    np.testing.assert_allclose(found, sorted(expected, reverse=True), rtol=1e-4, atol=1e-4)


def test_without_anchors_the_stride_is_the_size():
    options = {"strides": [8], "classes": 1, "formula": "x", "threshold": 0.0}
    numbers = [0.5, 0.5, 0.0, math.log(2), 50.0, 50.0]
    made = find_decoder("yolo", options).decode({"y": np.array(numbers, np.float32).reshape(1, 6, 1, 1)}, {})
    np.testing.assert_allclose(made["boxes"].values, [[0, -4, 8, 12]], atol=1e-5)
    assert made["scores"].values.tolist() == [1.0]


@pytest.mark.parametrize(
    "changes",
    [
        {"strides": []},
        {"strides": [0, 8]},
        {"classes": 0},
        {"anchors": [[10, 13], [30]]},
        {"anchors": [[10, 13]]},
        {"formula": "x"},
        {"formula": "v9"},
        {"outputs": ["a"]},
    ],
)
def test_options_that_make_no_sense_are_refused(changes):
    refuse_options({**OPTIONS, **changes})


def test_grids_of_other_numbers_or_samples_are_refused():
    outputs, _ = draw(np.random.default_rng(0), 2)
    refuse(OPTIONS, {**outputs, "more": outputs["small"]})
    refuse(OPTIONS, {"small": outputs["small"]})
    refuse({**OPTIONS, "classes": 2**40}, outputs)
    refuse(OPTIONS, {**outputs, "small": outputs["small"][:1]})
    refuse(OPTIONS, {**outputs, "small": outputs["small"][:, :, :0]})
