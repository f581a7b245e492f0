import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    anomalous = np.arange(count) % 3 == 0
    scores = generator.random(count) + (2.0 if perfect else 0.1) * anomalous
    return {"error": scores.astype(np.float32)}, {"anomalous": anomalous.astype(np.uint8)}


def measure(outputs, targets):
    tally = find_metric("auc").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("levels", [3, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_scikit_learns_with_equal_scores_too(seed, levels):
    outputs, targets = draw(np.random.default_rng(seed), 60, perfect=False)
    scores = np.floor(outputs["error"] * levels)
    expected = roc_auc_score(targets["anomalous"], scores)
    assert measure({"s": scores[:, None]}, targets) == pytest.approx(expected, abs=1e-9)


def test_a_nan_is_as_wrong_as_can_be():
    truth = {"anomalous": np.array([1, 1, 0, 0])}
    good = measure({"s": np.array([4.0, 3.0, 2.0, 1.0])}, truth)
    assert good == 1.0
    for place in range(4):
        scores = np.array([4.0, 3.0, 2.0, 1.0])
        scores[place] = np.nan
        assert measure({"s": scores}, truth) < good


@pytest.mark.parametrize("truth", [np.zeros(3, int), np.ones(3, int)])
def test_one_kind_alone_proves_nothing(truth):
    refuse(ExitCode.INVALID, {"s": np.zeros(3)}, {"anomalous": truth})


@pytest.mark.parametrize("truth", [np.array([0, 2**40]), np.array([0.0, 1.0]), np.array([[0], [1]])])
def test_what_says_neither_normal_nor_anomalous_is_refused(truth):
    refuse(ExitCode.MALFORMED, {"s": np.zeros(2)}, {"anomalous": truth})
