import numpy as np
import pytest

from tests.agent.measure.metrics.detections import join, run_coco
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.targets import Ragged, take_target_rows

SIGMAS = [0.026, 0.035, 0.079, 0.107, 0.089]
OPTIONS = {"sigmas": SIGMAS}


def draw_people(generator, count, *, perfect, crowd=False, hidden=False):
    """Return outputs and targets of so many pictures: some without anybody, some without a detection.

    hidden: with boxes, and persons without a visible point.
    """
    true, areas, found, scores, flags, boxes = [], [], [], [], [], []
    for _ in range(count):
        places = generator.random((generator.integers(0, 4), 1, 2)) * 100 + generator.random((1, len(SIGMAS), 2)) * 40
        visible = np.concatenate(
            [np.ones((len(places), 1, 1)), generator.integers(0, 3, (len(places), len(SIGMAS) - 1, 1))], axis=1
        )
        if hidden:
            visible[generator.random(len(visible)) < 0.4] = 0
        true.append(np.concatenate([places, visible], axis=2))
        boxes.append(np.concatenate([places.min(axis=1) + 8, places.max(axis=1) - 8], axis=1))
        areas.append(generator.random(len(places)) * 900 + 400)
        flags.append(generator.random(len(places)) < 0.2)
        near = places + generator.normal(size=places.shape) * generator.choice([0.5, 2, 6], (len(places), 1, 1))
        found.append(
            places if perfect else np.concatenate([near, near[:1] + 1, generator.random((1, len(SIGMAS), 2)) * 140])
        )
        scores.append(generator.random(len(found[-1])))
    outputs = {"points": join(found, float, (len(SIGMAS), 2)), "scores": join(scores, float)}
    targets = {"points": join(true, float, (len(SIGMAS), 3)), "areas": join(areas, float)}
    if hidden:
        targets["boxes"] = join(boxes, float, (4,))
    return outputs, {**targets, "crowd": join(flags, np.uint8)} if crowd else targets


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    return draw_people(generator, count, perfect=perfect)


def measure_by_coco(outputs, targets):
    """Return COCOeval's mAP of points."""
    truth, answers = [], []
    for index in range(len(targets["areas"])):
        areas = targets["areas"].read(index)
        crowd = targets["crowd"].read(index) if "crowd" in targets else np.zeros(len(areas))
        boxes = targets["boxes"].read(index) if "boxes" in targets else np.zeros((len(areas), 4))
        for points, area, flag, box in zip(targets["points"].read(index), areas, crowd, boxes, strict=True):
            row = {"id": len(truth) + 1, "image_id": index, "category_id": 1, "iscrowd": int(flag)}
            count = int((points[:, 2] > 0).sum())
            truth.append(
                {
                    **row,
                    "keypoints": points.reshape(-1).tolist(),
                    "num_keypoints": count,
                    "area": area,
                    "bbox": [*box[:2], *(box[2:] - box[:2])],
                }
            )
        for points, score in zip(outputs["points"].read(index), outputs["scores"].read(index), strict=True):
            rows = np.concatenate([points, np.ones((len(points), 1))], axis=1)
            answers.append(
                {"image_id": index, "category_id": 1, "score": score, "keypoints": rows.reshape(-1).tolist()}
            )
    return run_coco(truth, answers, len(targets["areas"]), "keypoints", SIGMAS)[0]


def measure(outputs, targets):
    tally = find_metric("oks_map", OPTIONS).start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("crowd", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_pycocotools(seed, crowd, hidden):
    outputs, targets = draw_people(np.random.default_rng(seed), 40, perfect=False, crowd=crowd, hidden=hidden)
    assert measure(outputs, targets) == pytest.approx(measure_by_coco(outputs, targets), abs=1e-9)


def test_what_lies_on_somebody_without_a_visible_point_counts_for_nothing_once_and_in_a_crowd_as_often_as_it_likes():
    points = np.zeros((2, 5, 3))
    points[0] = [50, 50, 1]
    points[1] = [100, 100, 0]
    found = np.zeros((3, 5, 2))
    found[0], found[1:] = 50, 100
    offsets, each = np.array([0, 2]), np.array([0, 3])
    outputs = {"points": Ragged(found, each), "scores": Ragged(np.array([0.7, 0.9, 0.8]), each)}
    targets = {
        "points": Ragged(points, offsets),
        "areas": Ragged(np.full(2, 400.0), offsets),
        "boxes": Ragged(np.array([[40.0, 40, 60, 60], [90, 90, 110, 110]]), offsets),
    }
    # One of the two before the person who is found is wrong: a precision of 1/2.
    assert measure(outputs, targets) == pytest.approx(0.5)
    crowd = {**targets, "crowd": Ragged(np.array([0, 1]), offsets)}
    assert measure(outputs, crowd) == 1.0
    # Without boxes nobody knows where that person is.
    assert measure(outputs, {name: targets[name] for name in ("points", "areas")}) == pytest.approx(1 / 3)
    for given in (targets, crowd):
        assert measure(outputs, given) == pytest.approx(measure_by_coco(outputs, given), abs=1e-9)


def test_equal_scores_share_a_threshold_in_any_order_of_the_samples():
    outputs, targets = draw_people(np.random.default_rng(5), 30, perfect=False, crowd=True, hidden=True)
    rounded = Ragged(np.round(outputs["scores"].values * 4) / 4, outputs["scores"].offsets)
    given = {**outputs, "scores": rounded}
    order = np.random.default_rng(6).permutation(30)
    moved = [{name: take_target_rows(rows, order) for name, rows in part.items()} for part in (given, targets)]
    assert measure(*moved) == pytest.approx(measure(given, targets), abs=1e-12)


def test_pictures_without_anybody_and_without_a_detection_are_taken():
    outputs, targets = draw_people(np.random.default_rng(7), 4, perfect=True)
    value = measure(outputs, targets)
    empty = {name: Ragged(rows.values, np.append(rows.offsets, rows.offsets[-1])) for name, rows in {**outputs}.items()}
    nobody = {name: Ragged(rows.values, np.append(rows.offsets, rows.offsets[-1])) for name, rows in targets.items()}
    assert measure(empty, nobody) == value == 1.0


@pytest.mark.parametrize("boxes", [np.full((1, 4), np.nan), np.zeros((1, 3)), np.zeros((2, 4))])
def test_boxes_that_are_none_are_refused(boxes):
    refuse(
        ExitCode.MALFORMED,
        {"points": np.zeros((1, 5, 2)), "scores": np.ones(1)},
        {"points": np.zeros((1, 5, 3)), "areas": np.ones(1), "boxes": boxes},
    )


def test_one_person_a_sample_may_be_an_array():
    points = np.concatenate([np.random.default_rng(0).random((4, 5, 2)) * 50, np.ones((4, 5, 1))], axis=2)
    outputs = {"points": points[..., :2], "scores": np.ones(4)}
    assert measure(outputs, {"points": points, "areas": np.full(4, 100.0)}) == 1.0


def test_somebody_without_a_visible_point_is_left_out():
    outputs, targets = draw_people(np.random.default_rng(3), 20, perfect=True)
    points = targets["points"].values.copy()
    points[0, :, 2] = 0
    hidden = {**targets, "points": type(targets["points"])(values=points, offsets=targets["points"].offsets)}
    assert 0.0 < measure(outputs, hidden) <= 1.0
    nobody = {"points": np.zeros((2, 5, 3)), "areas": np.ones(2)}
    refuse(ExitCode.INVALID, {"points": np.zeros((2, 5, 2)), "scores": np.ones(2)}, nobody)


def test_a_detection_with_a_nan_is_wrong():
    points = np.concatenate([np.random.default_rng(0).random((1, 5, 2)) * 50, np.ones((1, 5, 1))], axis=2)
    targets = {"points": points, "areas": np.full(1, 100.0)}
    assert measure({"points": points, "scores": np.full(1, np.nan)}, targets) == 0.0
    assert measure({"points": points * np.nan, "scores": np.ones(1)}, targets) == 0.0


@pytest.mark.parametrize("options", [{"sigmas": []}, {"sigmas": [0.1, 0.0]}, {"sigmas": 0.1}])
def test_sigmas_that_are_none_are_refused(options):
    with pytest.raises(ToolchainError) as caught:
        find_metric("oks_map", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("area", [0.0, -1.0, np.nan])
def test_an_area_that_is_none_is_refused(area):
    refuse(
        ExitCode.MALFORMED,
        {"points": np.zeros((1, 5, 2)), "scores": np.ones(1)},
        {"points": np.ones((1, 5, 3)), "areas": np.array([area])},
    )


@pytest.mark.parametrize(
    "points", [np.zeros((1, 4, 2)), np.zeros((1, 5, 4)), np.zeros((2, 5, 2)), np.zeros((1, 5, 2), complex)]
)
def test_points_of_another_shape_are_refused(points):
    refuse(
        ExitCode.MALFORMED,
        {"points": points, "scores": np.ones(len(points))},
        {"points": np.ones((1, 5, 3)), "areas": np.ones(1)},
    )
