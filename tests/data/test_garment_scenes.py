import tracemalloc

import numpy as np
import pytest

from toolchain.agent.measure.targets import Ragged
from toolchain.data import load_dataset
from toolchain.data.subset import Subset
from toolchain.errors import ExitCode, ToolchainError
from toolchain.tasks import check_options, find_task


def load(**options):
    return load_dataset("garment_scenes", {"train_scenes": 64, "evaluation_scenes": 48, **options})


@pytest.fixture(scope="module")
def dataset():
    return load()


def test_it_is_there_offline_with_all_targets(dataset):
    assert (len(dataset.train), len(dataset.evaluation)) == (64, 48)
    assert dataset.evaluation.batch(0, 3)["input"].shape == (3, 1, 96, 96)
    boxes, classes = (dataset.evaluation.targets[name] for name in ("boxes", "classes"))
    assert isinstance(boxes, Ragged)
    assert boxes.values.shape == (len(classes.values), 4)
    assert len(boxes) == len(classes) == len(dataset.evaluation.targets["mask"]) == 48
    assert set(classes.values.tolist()) == set(range(5))
    assert dataset.classes == ("Trouser", "Pullover", "Dress", "Sneaker", "Bag")


def test_pixels_are_about_normal(dataset):
    pixels = dataset.train.batch(0, 64)["input"]
    assert abs(pixels.mean()) < 0.3
    assert 0.7 < pixels.std() < 1.3


def test_a_scene_is_the_same_in_any_batch_and_load(dataset):
    whole = dataset.train.batch(0, 64)["input"]
    assert np.array_equal(load().train.take(np.array([9, 3]))["input"], whole[[9, 3]])
    assert np.array_equal(dataset.train.batch(60, 99)["input"], whole[60:])
    assert not np.array_equal(whole[0], whole[1])


def test_more_scenes_do_not_change_the_first_ones(dataset):
    assert np.array_equal(load(train_scenes=80).train.batch(0, 4)["input"], dataset.train.batch(0, 4)["input"])


def test_boxes_hold_the_mask_of_their_class(dataset):
    """What is seen of a class lies in the boxes of this class."""
    targets = dataset.evaluation.targets
    for index in range(len(dataset.evaluation)):
        mask = targets["mask"][index]
        allowed = np.zeros((6, 96, 96), dtype=bool)
        allowed[0] = True
        boxes, classes = targets["boxes"].read(index).astype(int), targets["classes"].read(index)
        for (left, top, right, bottom), number in zip(boxes, classes, strict=True):
            allowed[number + 1, top:bottom, left:right] = True
            assert (mask[top:bottom, left:right] == number + 1).any()
        assert np.take_along_axis(allowed, mask[None].astype(int), axis=0).all()


def test_training_and_test_scenes_show_other_garments(dataset):
    train, test = (
        {garment.pixels.tobytes() for garment in part.garments} for part in (dataset.train, dataset.evaluation)
    )
    assert train
    assert not train & test


@pytest.mark.parametrize(
    "options",
    [{"train_scenes": 65}, {"classes": ["Bag", "Dress"]}, {"classes": ["Dress", "Bag"]}, {"targets": ["mask"]}],
    ids=str,
)
def test_the_hash_says_what_is_asked_for(dataset, options):
    assert load(**options).train.sha256 != dataset.train.sha256
    assert load().train.sha256 == dataset.train.sha256 != dataset.evaluation.sha256


def test_the_hash_sees_what_is_drawn(dataset, monkeypatch):
    monkeypatch.setattr("toolchain.data.compose_scene._NOISE", 11)
    assert load().train.sha256 != dataset.train.sha256


def test_masks_of_a_million_scenes_take_the_memory_of_those_that_are_read():
    scenes = load(train_scenes=10**6, targets=["mask"]).train
    tracemalloc.start()
    held = Subset(scenes, np.arange(0, 10**6, 50_000))
    mask = held.targets["mask"][3:5]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(mask[0], scenes.targets["mask"][150_000])
    assert peak < 5_000_000


def test_only_the_targets_that_are_asked_for_are_there():
    dataset = load(targets=["mask"])
    assert set(dataset.train.targets) == {"mask"}
    assert dataset.classes[0] == "background"
    assert set(load(targets=["boxes", "classes"]).train.targets) == {"boxes", "classes"}


@pytest.mark.parametrize(
    ("task", "options", "outputs"),
    [
        (
            "detection",
            {"strides": [4, 8], "classes": 5},
            {"a": np.zeros((1, 9, 24, 24)), "b": np.zeros((1, 9, 12, 12))},
        ),
        ("segmentation", {}, {"scores": np.zeros((1, 6, 96, 96))}),
    ],
)
def test_its_targets_are_those_of_the_tasks(dataset, task, options, outputs):
    found = find_task(task)
    found.check(
        check_options(task, options, where="here"), outputs, dataset.evaluation, where="here", classes=dataset.classes
    )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"classes": ["Bag", "Hat"]}, "Hat"),
        ({"classes": ["Bag", "Dress", "Bag"]}, "Bag"),
        ({"classes": ["Bag"]}, "Bag"),
        ({"evaluation_scenes": 1}, "1"),
        ({"garments": "mnist"}, "mnist"),
        ({"targets": ["points"]}, "points"),
        ({"side": 64}, "side"),
    ],
    ids=str,
)
def test_an_option_that_is_wrong_is_a_usage_error(options, found):
    with pytest.raises(ToolchainError) as caught:
        load(**options)
    assert caught.value.code is ExitCode.USAGE
    assert found in str(caught.value)
