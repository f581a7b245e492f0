"""When the task's metric may decide which layers are int8, and when SQNR does in its place."""

import numpy as np
import pytest

from toolchain.agent.manifest import MetricSpec
from toolchain.agent.measure.scoring import find_scoring
from toolchain.lower.accuracy import choose_kept
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, WeightInput
from toolchain.lower.task_trial import Task
from toolchain.lower.trial import SqnrEstimate, Trial

LAYERS = ("good", "bad")
CLASSES = 5
# So many zero differences prove a drop of at most 5 points with 99 % in each half.
SAMPLES = 300
DROP_MAX = 0.05


class FakeBench:
    """A float model whose answers are the labels of its samples; int8 of a layer changes some of them, and adds noise."""

    def __init__(self, wrong, *, sqnr_db=9.0, other_db=40.0):
        self.wrong = wrong  # layer -> from a sample's number to whether int8 of the layer answers it wrongly
        self.sqnr_db = sqnr_db
        self.other_db = other_db

    def run_float(self, feeds):
        return ({"scores": feed["x"].copy(), "other": feed["x"]} for feed in feeds)

    def run(self, keep_float, feeds):
        for feed in feeds:
            spoiled = any(
                wrong(int(feed["number"][0])) for layer, wrong in self.wrong.items() if layer not in keep_float
            )
            yield {"scores": -feed["x"] if spoiled else feed["x"], "other": feed["x"]}

    def measure_outputs_db(self, keep_float):
        db = 150.0 if keep_float >= set(LAYERS) else self.sqnr_db
        other_db = 150.0 if keep_float >= set(LAYERS) else self.other_db
        return {"scores": SqnrEstimate(db + 1, db, db + 2), "other": SqnrEstimate(other_db + 1, other_db, other_db + 2)}

    def measure_sqnr_db(self, keep_float):
        return self.measure_outputs_db(keep_float)["scores"].low_db

    def rank_alone_db(self, _plan, layers, keep_float, *, samples, on_layer):
        return {layer: 5.0 if layer == "bad" else 30.0 for layer in layers}

    def try_out(self, keep_float, *, sqnr_db_min):
        low_db = self.measure_sqnr_db(keep_float)
        return Trial(passes=low_db >= sqnr_db_min, low_db=low_db)


def never(_number):
    return False


def make_task(*, samples=SAMPLES, labels=None, **changes):
    generator = np.random.default_rng(0)
    answers = generator.integers(0, CLASSES, samples)
    scores = np.eye(CLASSES, dtype=np.float32)[answers]
    feeds = [{"x": scores[index : index + 1], "number": np.array([index])} for index in range(samples)]
    options = {
        "accuracy": "metric",
        "scoring": find_scoring(MetricSpec(name="top1", reference=None)),
        "feeds": feeds,
        "targets": {"labels": answers if labels is None else labels},
        "drop_max": DROP_MAX,
    }
    return Task(**{**options, **changes})


@pytest.fixture
def plan():
    weight = {name: WeightInput(index=1, axis=0, bias_index=None, source=f"{name}.weight") for name in LAYERS}
    return QdqPlan(tuple(QuantizedNode(name, "Conv", (name,), weight[name], None) for name in LAYERS))


@pytest.fixture
def choose(plan):
    def run(task, bench, other=None):
        others = [other or bench]
        return choose_kept(bench, others, plan, frozenset(), {}, 20.0, lambda _name, _total: lambda: None, task)

    return run


def test_where_the_metric_keeps_its_gate_everything_is_int8_at_9_db(choose):
    kept = choose(make_task(), FakeBench({"bad": never}))
    assert kept.reasons == {}
    assert (kept.accuracy.decides, kept.accuracy.reason, kept.accuracy.drop) == ("metric", None, 0.0)
    assert kept.accuracy.samples == SAMPLES // 2
    assert 0 < kept.accuracy.drop_upper <= DROP_MAX
    assert kept.accuracy.sqnr_db_min == 6.0  # a board's gate: what was found but for 3 dB


def test_a_layer_that_costs_too_many_answers_goes_back_to_float(choose):
    kept = choose(make_task(), FakeBench({"bad": lambda number: number % 10 == 0}))
    assert list(kept.reasons) == ["bad"]
    assert "top1" in kept.reasons["bad"]
    assert kept.accuracy.decides == "metric"


def test_a_drop_that_may_be_larger_than_the_gate_does_not_pass_though_the_drop_itself_does(choose):
    kept = choose(make_task(), FakeBench({"bad": lambda number: number % 30 == 0}))  # 3.3 points, 8 at most
    assert list(kept.reasons) == ["bad"]


def test_an_output_that_the_metric_does_not_read_keeps_its_sqnr(choose):
    kept = choose(make_task(), FakeBench({"bad": never}, other_db=15.0))
    assert set(kept.reasons) == set(LAYERS)


def test_an_output_without_half_of_its_power_passes_by_no_metric(choose):
    kept = choose(make_task(), FakeBench({"bad": never}, sqnr_db=2.0))
    assert set(kept.reasons) == set(LAYERS)


def constant_labels():
    labels = np.zeros(SAMPLES, np.int64)
    labels[::50] = 1  # 2 %, less than the gate
    return labels


WORTHLESS = {
    "too few": (lambda: make_task(samples=40), "too few"),
    "a gate tighter than the samples": (lambda: make_task(drop_max=0.001), "too few"),
    "at chance": (
        lambda: make_task(labels=np.random.default_rng(9).integers(0, CLASSES, SAMPLES)),
        "constant",
    ),
    "one class for nearly all": (
        lambda: make_task(
            labels=constant_labels(),
            feeds=[
                {"x": np.eye(CLASSES, dtype=np.float32)[label][None], "number": np.array([index])}
                for index, label in enumerate(constant_labels())
            ],
        ),
        "constant",
    ),
    "nothing held out": (lambda: make_task(samples=0), "no samples"),
    "a single sample": (lambda: make_task(samples=1), "no samples"),
    "evaluation samples among them": (lambda: make_task(problem="3 of them are evaluation samples"), "evaluation"),
}


@pytest.mark.parametrize("kind", WORTHLESS)
def test_where_the_metric_can_tell_nothing_sqnr_decides_and_says_why(choose, kind):
    make, word = WORTHLESS[kind]
    kept = choose(make(), FakeBench({"bad": never}))
    assert set(kept.reasons) == set(LAYERS)  # 9 dB miss the SQNR gate
    assert kept.accuracy.decides == "sqnr"
    assert word in kept.accuracy.reason
    assert kept.accuracy.sqnr_db_min is None


def test_where_the_second_half_does_not_confirm_what_the_first_found_sqnr_decides(choose):
    half = SAMPLES // 2
    kept = choose(make_task(), FakeBench({"bad": lambda number: number >= half and number % 5 == 0}))
    assert set(kept.reasons) == set(LAYERS)
    assert kept.accuracy.decides == "sqnr"
    assert "did not see" in kept.accuracy.reason


def test_a_metric_without_an_interval_decides_nothing(choose, monkeypatch):
    monkeypatch.setattr("toolchain.agent.measure.checked_metric.CheckedTally.can_resample", False)
    assert "no interval" in choose(make_task(), FakeBench({"bad": never})).accuracy.reason


def test_a_model_that_the_metric_has_no_number_for_does_not_pass(choose):
    class Breaking(FakeBench):
        def run(self, keep_float, feeds):
            for outputs in super().run(keep_float, feeds):
                yield outputs if "bad" in keep_float else {**outputs, "scores": np.full((1, CLASSES), np.nan)}

    assert list(choose(make_task(), Breaking({"bad": never})).reasons) == ["bad"]


def test_agreement_takes_the_float_models_answers_for_labels(choose):
    task = make_task(
        accuracy="agreement",
        targets={},
        answer=lambda read: {"labels": read["scores"].argmax(axis=1)},
    )
    assert choose(task, FakeBench({"bad": never})).accuracy.decides == "agreement"
    assert list(choose(task, FakeBench({"bad": lambda number: number % 10 == 0})).reasons) == ["bad"]


def test_without_a_task_sqnr_decides_and_there_is_nothing_to_explain(choose):
    accuracy = choose(None, FakeBench({"bad": never})).accuracy
    assert (accuracy.decides, accuracy.reason) == ("sqnr", None)
