import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {"count": "count"}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("detections", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("detections", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    corners = generator.random((count, 7, 2)) * 50
    boxes = np.concatenate([corners, corners + 10], axis=2).astype(np.float32)
    numbers = {"classes": generator.integers(0, 3, (count, 7)), "count": generator.integers(0, 8, (count, 1))}
    return {"boxes": boxes, "scores": generator.random((count, 7)).astype(np.float32) + 0.1, **numbers}, {}


def test_rows_beyond_the_count_and_without_a_score_go():
    outputs = {
        "boxes": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "scores": np.array([[0.9, 0.8, 0.7], [0.9, 0.0, np.nan]]),
        "classes": np.array([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]]),
        "n": np.array([2, 3]),
    }
    made = find_decoder("detections", {"count": "n"}).decode(outputs, {})
    assert made["classes"].values.tolist() == [1, 2, 4]
    assert made["boxes"].offsets.tolist() == [0, 2, 3]


def test_one_picture_as_torchvision_exports_it_is_a_batch_of_one():
    outputs = {"boxes": np.ones((3, 4)), "labels": np.array([1, 2, 3]), "scores": np.ones(3)}
    made = find_decoder("detections", {"classes": "labels"}).decode(outputs, {})
    assert made["classes"].read(0).tolist() == [1, 2, 3]


def test_one_output_may_have_it_all():
    rows = np.array([[[5, 5, 4, 2, 0.9, 1], [0, 0, 0, 0, 0, 0]]], np.float32)
    made = find_decoder("detections", {"joined": "y", "form": "cxcywh", "clip": [5, 6]}).decode({"y": rows}, {})
    assert (made["boxes"].values.tolist(), made["classes"].values.tolist()) == ([[3, 4, 6, 5]], [1])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30])
def test_a_class_that_is_no_number_is_none(number):
    rows = np.array([[[0, 0, 9, 9, 0.9, number]]], np.float32)
    assert find_decoder("detections", {"joined": "y"}).decode({"y": rows}, {})["classes"].values.tolist() == [-1]


def test_counts_of_other_pictures_are_refused():
    outputs, _ = draw(np.random.default_rng(0), 2)
    refuse(OPTIONS, {**outputs, "count": np.array([1, 2, 3])})
    refuse(OPTIONS, {**outputs, "classes": outputs["classes"][:1]})


@pytest.mark.parametrize("options", [{"form": "xy"}, {"clip": [1, 2, 3]}, {"count": 3}])
def test_options_that_make_no_sense_are_refused(options):
    refuse_options(options)
