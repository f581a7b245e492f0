"""What decides about int8 is held out of calibration and of evaluation."""

from types import SimpleNamespace

import numpy as np
import pytest

from toolchain.agent.manifest import MetricSpec
from toolchain.agent.measure.scoring import find_scoring
from toolchain.data.dataset import ImageSamples
from toolchain.stages.held_out import hold_out, identify_held_out


def make_samples(values, labels=True):
    images = np.asarray(values, dtype=np.uint8).reshape(-1, 1, 1, 1)
    targets = {"labels": np.arange(len(images))} if labels else {}
    return ImageSamples(images, targets, "sha", lambda taken: taken.astype(np.float32))


class FakeRun:
    def __init__(
        self, *, accuracy="metric", calibration=range(20), evaluation=range(100, 120), labels=True, metric="top1"
    ):
        self.recipe = SimpleNamespace(
            path="recipe.toml",
            quantize=SimpleNamespace(accuracy=accuracy),
            data=SimpleNamespace(calibration_samples=8),
            gates=SimpleNamespace(metric_drop_max=0.02),
            task=SimpleNamespace(name="classification"),
        )
        self.answer = None
        self.data = SimpleNamespace(calibration=make_samples(calibration, labels), evaluation=make_samples(evaluation))
        self.scoring = None if metric is None else find_scoring(MetricSpec(name=metric, reference=None))

    def bind_calibration(self, _model, count):
        return [
            self.data.calibration.batch(index, index + 1) for index in range(min(count, len(self.data.calibration)))
        ]

    def count_evaluation(self):
        return len(self.data.evaluation)

    def describe_metric(self):
        return {"name": "top1"}


def read_values(task):
    return [int(feed["input"].item()) for feed in task.feeds]


def test_samples_behind_those_that_calibrate_decide_with_their_own_labels():
    task = hold_out(FakeRun(), "model.onnx")
    assert read_values(task) == list(range(8, 20))
    assert task.targets["labels"].tolist() == list(range(8, 20))
    assert (task.accuracy, task.drop_max, task.problem) == ("metric", 0.02, None)


def test_no_evaluation_sample_decides():
    run = FakeRun()
    evaluated = {int(value) for value in run.data.evaluation.images.reshape(-1)}
    assert evaluated.isdisjoint(read_values(hold_out(run, "model.onnx")))


def test_a_sample_that_is_evaluated_too_lets_none_of_them_decide():
    task = hold_out(FakeRun(evaluation=[*range(100, 119), 13]), "model.onnx")
    assert task.problem == "1 of 12 samples held out are among those of the evaluation"
    assert dict(task.targets) == {}


def test_a_calibration_sample_that_is_evaluated_too_is_none_of_those_that_decide():
    assert hold_out(FakeRun(evaluation=[*range(100, 119), 3]), "model.onnx").problem is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"calibration": range(8)}, "all calibrate"),
        ({"calibration": range(3)}, "all calibrate"),
        ({"labels": False}, "labels"),
    ],
)
def test_what_lacks_for_a_decision_is_said(changes, word):
    assert word in hold_out(FakeRun(**changes), "model.onnx").problem


def test_agreement_needs_no_labels():
    task = hold_out(FakeRun(accuracy="agreement", labels=False), "model.onnx")
    assert (task.problem, dict(task.targets)) == (None, {})
    assert task.answer({"scores": np.array([[0.1, 0.9, 0.0]])})["labels"].tolist() == [1]


def test_a_metric_that_no_answer_can_be_a_target_of_decides_nothing():
    assert "no model answers" in hold_out(FakeRun(accuracy="agreement", metric="recall_at_k"), "model.onnx").problem


@pytest.mark.parametrize("changes", [{"accuracy": "sqnr"}, {"metric": None}], ids=str)
def test_where_sqnr_decides_no_samples_are_held_out(changes):
    assert hold_out(FakeRun(**changes), "model.onnx") is None


def test_the_key_depends_on_evaluation_only_where_its_samples_must_not_decide():
    assert identify_held_out(FakeRun(accuracy="sqnr")) == {}
    assert identify_held_out(FakeRun()) != {}
