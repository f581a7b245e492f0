"""What is said of outputs that passed, and of which the SQNR says too much."""

import dataclasses

import pytest

from tests.made_record import NO_METRIC, make_drift, make_evaluation, make_varying
from toolchain.agent.manifest import MetricSpec
from toolchain.report.drift_notes import list_drift_warnings

TOP1 = MetricSpec(name="top1", reference=0.925)


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        (make_drift(varying=make_varying(None, constant=10)), "is the same, but for rounding, in all 1000 samples"),
        (make_drift(60.0, varying=make_varying(40.0, lost=6)), "in 6 of the 10 channels (axis 1) of output y"),
        (make_drift(60.0, varying=make_varying(4.5)), "output y 4.5 dB are left, of all of it 60.0 dB"),
        (make_drift(agreement=0.2, is_scores=False), "at the same place in 20.00 %"),
    ],
)
def test_an_output_that_its_sqnr_flatters_is_named(drift, words):
    (warning,) = list_drift_warnings(make_evaluation(drift=(drift,), metric=None), NO_METRIC)
    assert words in warning


def test_a_good_output_is_not_spoken_of():
    good = make_drift(is_scores=False, agreement=0.95)
    empty = dataclasses.replace(good, agreement=None, varying=make_varying(None, channels=0))
    assert list(list_drift_warnings(make_evaluation(drift=(good, empty), metric=None), NO_METRIC)) == []


def test_the_answers_that_a_metric_judges_need_no_warning():
    logits = make_drift(is_scores=False, agreement=0.2)
    assert list(list_drift_warnings(make_evaluation(drift=(logits,)), TOP1)) == []
    two = make_evaluation(drift=(logits, dataclasses.replace(logits, output="z")))
    assert len(list(list_drift_warnings(two, TOP1))) == 1
