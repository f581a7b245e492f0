"""The part of an output that varies between samples."""

import numpy as np
import pytest

from toolchain.agent.measure.drift import Drift
from toolchain.agent.measure.variation import Variation

RNG = np.random.default_rng(0)
ANSWERS = RNG.normal(size=(64, 3)).astype(np.float32)


def summarize(reference, deployed, batches=4):
    variation = Variation()
    for expected, found in zip(np.array_split(reference, batches), np.array_split(deployed, batches), strict=True):
        variation.add(expected, found)
    return variation.summarize()


def test_an_offset_hides_no_error():
    noise = (RNG.normal(size=ANSWERS.shape) * 0.1).astype(np.float32)
    for offset in (0, 1000):
        found = summarize(ANSWERS + np.float32(offset), ANSWERS + np.float32(offset) + noise)
        assert found.varying_db == pytest.approx(20, abs=1)
        assert (found.channels, found.constant, found.lost) == (3, 0, 0)


def test_a_constant_answer_has_0_db_and_loses_every_channel():
    found = summarize(ANSWERS + 1000, np.broadcast_to((ANSWERS + 1000).mean(axis=0), ANSWERS.shape))
    assert found.varying_db == pytest.approx(0, abs=0.01)
    assert found.lost >= 1


def test_a_channel_that_is_lost_beside_a_louder_one_is_counted():
    boxes = np.stack([ANSWERS * 300, ANSWERS], axis=1)
    deployed = boxes + np.array([0.0, 2.0], dtype=np.float32)[:, None]
    found = summarize(boxes, deployed)
    assert found.varying_db > 40
    assert (found.channels, found.lost) == (2, 1)


@pytest.mark.parametrize("value", [0.0, 7.5])
def test_an_output_that_is_the_same_in_all_samples_varies_in_nothing(value):
    same = np.full((64, 3), value, dtype=np.float32)
    found = summarize(same, same + np.float32(0.5))
    assert (found.varying_db, found.constant, found.channels) == (None, 3, 3)


def test_the_rounding_of_float32_is_neither_variation_nor_an_error():
    large = np.full((64, 1), 1e6, dtype=np.float32)
    rounded = np.nextafter(large, np.float32(np.inf), dtype=np.float32)
    rounded[::2] = large[::2]
    assert summarize(rounded, large).constant == 1
    assert summarize(large + ANSWERS[:, :1] * 4, rounded + ANSWERS[:, :1] * 4).varying_db == 200.0


def test_masks_are_left_out_and_integers_and_samples_of_one_number_are_taken():
    masked = ANSWERS.copy()
    masked[:, 1] = -np.inf
    assert summarize(masked, masked).varying_db == 200.0
    assert summarize(masked, masked).constant == 1
    ids = np.arange(10_000_000, 10_000_064)
    assert (summarize(ids, ids[::-1]).constant, summarize(ids, ids[::-1]).lost) == (0, 1)


def test_an_empty_output_has_nothing():
    empty = np.zeros((64, 0), dtype=np.float32)
    assert summarize(empty, empty).varying_db is None


@pytest.mark.parametrize("shape", [(1, 3), (3,), (3, 1, 1), (1, 3, 1, 1)])
def test_a_whole_tensor_is_one_sample_of_its_channels(shape):
    drift = Drift()
    for answer in ANSWERS:
        drift.add({"y": answer.reshape(shape)}, {"y": answer.reshape(shape)}, stacked=True)
    assert drift.summarize()[0].varying.channels == 3
    drift = Drift()
    for _ in ANSWERS:
        drift.add({"y": ANSWERS[0].reshape(shape)}, {"y": ANSWERS[0].reshape(shape)}, stacked=True)
    assert drift.summarize()[0].varying.constant == 3
