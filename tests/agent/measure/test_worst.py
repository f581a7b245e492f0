"""The worst samples: other answers first, then the largest error, whatever the order and the batches."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.agent.manifest import DecoderSpec, MetricSpec
from toolchain.agent.measure.scoring import find_scoring
from toolchain.agent.measure.targets import Ragged
from toolchain.agent.measure.worst import SAMPLES_MAX, TEXT_MAX, WorstSamples


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


def test_what_a_model_rebuilds_is_no_score_of_classes_and_its_error_is_the_answer():
    spec = MetricSpec(name="auc", reference=None, decoder=DecoderSpec(name="reconstruction_error", options={}))
    worst = WorstSamples(find_scoring(spec))
    inputs = np.zeros((4, 640), np.float32)
    originals = np.tile(np.float32(1), (4, 640))
    deployed = originals.copy()
    deployed[2, 5] = 21.0  # the largest "class" of this sample
    worst.add(0, {"y": originals}, {"y": deployed}, {"x": inputs}, {}, stacked=False)
    [sample] = worst.list_samples()
    assert (sample.index, sample.differs, sample.reference.classes) == (2, False, ())
    assert sample.reference.values == (1.0,)
    assert sample.deployed.values == pytest.approx((1 + 440 / 640,))


def write_texts(*texts):
    data = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, data)], dtype=np.int64)
    return {"text": Ragged(values=np.frombuffer(b"".join(data), np.uint8), offsets=ends)}


def test_of_what_is_read_both_texts_and_the_one_that_should_have_come_out_are_told():
    decoder = DecoderSpec(name="ctc_greedy", options={"alphabet": "ab"})
    worst = WorstSamples(find_scoring(MetricSpec(name="cer", reference=None, decoder=decoder)))
    letters = np.eye(3, dtype=np.float32)
    originals = np.stack([letters[[1, 0, 2] * 200], letters[[0, 0, 0] * 200], letters[[2, 0, 2] * 200]])
    deployed = originals.copy()
    deployed[0, 0] = (1, 0, 0)  # a blank in the place of the first a
    deployed[1, 0] = (0.5, 0, 0)
    worst.add(0, {"y": originals}, {"y": deployed}, {}, write_texts("ab\u202e" * 200, "", "bb"), stacked=False)
    first, second = sorted(worst.list_samples(), key=lambda sample: sample.index)
    assert first.reference.text == "ab" * (TEXT_MAX // 2)
    assert first.deployed.text == ("b" + "ab" * TEXT_MAX)[:TEXT_MAX]
    assert first.text == ("ab\u202e" * 200)[:TEXT_MAX]
    assert (second.reference.text, second.deployed.text, second.text, second.label) == ("", "", "", None)
    assert first.reference.classes == first.reference.values == ()


@pytest.mark.parametrize(("metric", "is_class"), [("r2", False), ("cosine", False), ("top1", True), ("f1", True)])
def test_numbers_and_embeddings_are_no_classes(metric, is_class):
    worst = WorstSamples(find_scoring(MetricSpec(name=metric, reference=None)))
    originals, deployed = make_scores()
    worst.add(0, {"y": originals}, {"y": deployed}, {}, {}, stacked=False)
    first = worst.list_samples()[0]
    assert (first.differs, bool(first.reference.classes), bool(first.reference.values)) == (
        is_class,
        is_class,
        not is_class,
    )


def test_outputs_without_an_axis_of_samples_tell_nothing():
    worst = WorstSamples(None)
    arrays = {"y": np.zeros((2, 3), np.float32), "state": np.zeros((1, 2), np.float32)}
    worst.add(0, arrays, {name: array + 1 for name, array in arrays.items()}, {}, {}, stacked=False)
    assert worst.list_samples() == ()
