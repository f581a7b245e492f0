import numpy as np
import pytest

from tests.agent.measure.metrics.detections import join, run_coco
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric

SIGMAS = [0.026, 0.035, 0.079, 0.107, 0.089]
OPTIONS = {"sigmas": SIGMAS}


def draw_people(generator, count, *, perfect, crowd=False):
    """Return outputs and targets of so many pictures: some without anybody, some without a detection."""
    true, areas, found, scores, flags = [], [], [], [], []
    for _ in range(count):
        places = generator.random((generator.integers(0, 4), 1, 2)) * 100 + generator.random((1, len(SIGMAS), 2)) * 40
        visible = np.concatenate(
            [np.ones((len(places), 1, 1)), generator.integers(0, 3, (len(places), len(SIGMAS) - 1, 1))], axis=1
        )
        true.append(np.concatenate([places, visible], axis=2))
        areas.append(generator.random(len(places)) * 900 + 400)
        flags.append(generator.random(len(places)) < 0.2)
        near = places + generator.normal(size=places.shape) * generator.choice([0.5, 2, 6], (len(places), 1, 1))
        found.append(
            places if perfect else np.concatenate([near, near[:1] + 1, generator.random((1, len(SIGMAS), 2)) * 140])
        )
        scores.append(generator.random(len(found[-1])))
    outputs = {"points": join(found, float, (len(SIGMAS), 2)), "scores": join(scores, float)}
    targets = {"points": join(true, float, (len(SIGMAS), 3)), "areas": join(areas, float)}
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
        for points, area, flag in zip(targets["points"].read(index), areas, crowd, strict=True):
            row = {"id": len(truth) + 1, "image_id": index, "category_id": 1, "iscrowd": int(flag)}
            count = int((points[:, 2] > 0).sum())
            truth.append(
                {
                    **row,
                    "keypoints": points.reshape(-1).tolist(),
                    "num_keypoints": count,
                    "area": area,
                    "bbox": [0, 0, 1, 1],
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


@pytest.mark.parametrize("crowd", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_pycocotools(seed, crowd):
    outputs, targets = draw_people(np.random.default_rng(seed), 40, perfect=False, crowd=crowd)
    assert measure(outputs, targets) == pytest.approx(measure_by_coco(outputs, targets), abs=1e-9)


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
