import numpy as np
import pytest

from tests.agent.measure.metrics.detections import draw_boxes, join, measure_by_coco
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.targets import Ragged


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    return draw_boxes(generator, count, perfect=perfect)


def pack(boxes, scores):
    """Return detections of class 0, a list for each picture."""
    labels = join([np.zeros(len(part)) for part in scores], np.int64)
    return {"boxes": join(boxes, float, (4,)), "scores": join(scores, float), "classes": labels}


def pack_truth(boxes):
    """Return the boxes of pictures, all of class 0."""
    labels = join([np.zeros(len(part)) for part in boxes], np.int64)
    return {"boxes": join(boxes, float, (4,)), "classes": labels}


def measure(outputs, targets):
    tally = find_metric("map").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("crowd", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_pycocotools(seed, crowd):
    outputs, targets = draw_boxes(np.random.default_rng(seed), 30, perfect=False, crowd=crowd)
    assert measure(outputs, targets) == pytest.approx(measure_by_coco(outputs, targets)[0], abs=1e-9)


def test_only_the_first_hundred_detections_of_a_class_count():
    boxes = np.zeros((101, 4))
    boxes[100] = [0, 0, 10, 10]
    scores = np.linspace(0.9, 0.1, 101)
    targets = pack_truth([[[0, 0, 10, 10]]])
    assert measure(pack([boxes], [scores]), targets) == 0.0
    assert measure(pack([boxes[1:]], [scores[1:]]), targets) > 0.0


def test_pictures_without_a_detection_find_nothing():
    assert measure(pack([[], []], [[], []]), pack_truth([[[0, 0, 9, 9]], []])) == 0.0


def test_pictures_without_an_object_that_is_no_crowd_prove_nothing():
    refuse(ExitCode.INVALID, pack([[[0, 0, 9, 9]]], [[0.5]]), pack_truth([[]]))
    crowd = {**pack_truth([[[0, 0, 9, 9]]]), "crowd": join([[1]], np.uint8)}
    refuse(ExitCode.INVALID, pack([[[0, 0, 9, 9]]], [[0.5]]), crowd)


def test_what_is_found_in_a_crowd_counts_for_nothing():
    targets = {**pack_truth([[[0, 0, 9, 9], [20, 20, 90, 90]]]), "crowd": join([[0, 1]], np.uint8)}
    found = [[0, 0, 9, 9], [30, 30, 40, 40], [50, 50, 60, 60]]
    assert measure(pack([found], [[0.5, 0.9, 0.8]]), targets) == 1.0


@pytest.mark.parametrize("part", ["box", "score"])
def test_a_detection_with_a_nan_is_wrong(part):
    box, score = ([np.nan, 0, 9, 9], 0.9) if part == "box" else ([0, 0, 9, 9], np.nan)
    assert measure(pack([[box]], [[score]]), pack_truth([[[0, 0, 9, 9]]])) == 0.0


def test_a_box_that_is_turned_inside_out_is_wrong():
    assert measure(pack([[[9, 9, 0, 0]]], [[0.9]]), pack_truth([[[0, 0, 9, 9]]])) == 0.0


def test_a_class_number_however_large_is_one_class():
    outputs, targets = pack([[[0, 0, 9, 9]]], [[0.9]]), pack_truth([[[0, 0, 9, 9]]])
    huge = join([[2**40]], np.int64)
    assert measure({**outputs, "classes": huge}, {**targets, "classes": huge}) == 1.0
    assert measure({**outputs, "classes": huge}, targets) == 0.0


@pytest.mark.parametrize("box", [[0, 0, np.nan, 9], [9, 0, 0, 9], [0, 0, np.inf, 9]])
def test_a_true_box_that_is_none_is_refused(box):
    refuse(ExitCode.MALFORMED, pack([[[0, 0, 9, 9]]], [[0.5]]), pack_truth([[box]]))


def test_parts_of_different_rows_are_refused():
    outputs, targets = pack([[[0, 0, 9, 9]]], [[0.9]]), pack_truth([[[0, 0, 9, 9]]])
    for name, rows in (
        ("scores", join([[0.9, 0.8]], float)),
        ("classes", join([[]], int)),
        ("classes", join([[0.5]], float)),
    ):
        refuse(ExitCode.MALFORMED, {**outputs, name: rows}, targets)
    refuse(ExitCode.MALFORMED, outputs, {**targets, "classes": join([[0, 1]], int)})
    refuse(ExitCode.MALFORMED, outputs, {**targets, "crowd": join([[0, 1]], int)})
    refuse(ExitCode.MALFORMED, {**outputs, "boxes": Ragged(values=np.zeros((1, 5)), offsets=np.array([0, 1]))}, targets)


def test_of_equal_scores_none_comes_before_the_other():
    true, wrong = [0, 0, 9, 9], [50, 50, 60, 60]
    targets = pack_truth([[true], [true]])
    for first, second in ((true, wrong), (wrong, true)):
        assert measure(pack([[first], [second]], [[0.5], [0.5]]), targets) == pytest.approx(0.5 * 51 / 101)
    # Of one score more, the right one does: the recall of 0.5 has the precision 1.
    assert measure(pack([[true], [wrong]], [[0.6], [0.5]]), targets) == pytest.approx(51 / 101)


def test_a_true_class_below_0_is_refused_since_what_has_no_class_has_such_a_one():
    outputs, targets = pack([[[0, 0, 9, 9]]], [[0.9]]), pack_truth([[[0, 0, 9, 9]]])
    refuse(ExitCode.MALFORMED, outputs, {**targets, "classes": join([[-1]], np.int64)})
