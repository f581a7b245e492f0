"""The worst samples: other answers first, then the largest error, whatever the order and the batches."""

from __future__ import annotations

import numpy as np

from toolchain.agent.measure.worst import SAMPLES_MAX, WorstSamples


def collect(originals, deployed, *, batch=3, targets=None, stacked=False):
    worst = WorstSamples(None)
    for start in range(0, len(originals), 1 if stacked else batch):
        rows = start if stacked else slice(start, start + batch)
        labels = {} if targets is None else {"labels": targets[rows]}
        worst.add(start, {"y": originals[rows]}, {"y": deployed[rows]}, {}, labels, stacked=stacked)
    return worst.list_samples()


def make_scores():
    """Ten samples of three classes; sample 7 has another answer, sample 4 the largest error."""
    originals = np.tile(np.float32([3, 2, 1]), (10, 1))
    deployed = originals + np.linspace(0.001, 0.01, 10, dtype=np.float32)[:, None]
    deployed[4, 2] = -1.0
    deployed[7] = [2.4, 2.5, 1]
    return originals, deployed


def test_another_class_comes_before_a_larger_error():
    samples = collect(*make_scores(), targets=np.arange(10))
    assert [sample.index for sample in samples[:2]] == [7, 4]
    assert (samples[0].differs, samples[1].differs) == (True, False)
    assert len(samples) == SAMPLES_MAX
    assert samples[0].label == 7
    assert samples[0].reference.classes == (0, 1, 2)
    assert samples[0].deployed.classes == (1, 0, 2)
    assert samples[0].reference.scores == (3.0, 2.0, 1.0)


def test_batches_change_nothing():
    assert collect(*make_scores(), batch=1) == collect(*make_scores(), batch=10)


def test_what_is_answered_exactly_alike_is_no_worst_sample():
    originals, _ = make_scores()
    assert collect(originals, originals.copy()) == ()


def test_a_nan_is_the_worst_of_all_and_told_as_no_number():
    originals, deployed = make_scores()
    deployed[2] = [3, np.nan, 1]
    first, second = collect(originals, deployed)[:2]
    assert {first.index, second.index} == {2, 7}
    nan = first if first.index == 2 else second
    assert nan.sqnr_db == -200.0
    assert None in nan.deployed.scores


def test_a_small_output_is_told_as_numbers_and_a_whole_run_is_one_sample():
    originals = np.float32([[1, 2, 3, 4]]).reshape(1, 2, 2)
    (sample,) = collect(originals, originals + np.float32(0.5), stacked=True)
    assert sample.reference.values == (1.0, 2.0, 3.0, 4.0) or sample.reference.classes
    assert sample.index == 0


def test_outputs_without_an_axis_of_samples_tell_nothing():
    worst = WorstSamples(None)
    arrays = {"y": np.zeros((2, 3), np.float32), "state": np.zeros((1, 2), np.float32)}
    worst.add(0, arrays, {name: array + 1 for name, array in arrays.items()}, {}, {}, stacked=False)
    assert worst.list_samples() == ()
