import numpy as np
import pytest
from sklearn.metrics import r2_score

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    values = generator.normal(size=(count, 2)).astype(np.float32)
    found = values if perfect else values + generator.normal(size=(count, 2)).astype(np.float32)
    return {"out": found}, {"values": values}


def measure(outputs, targets):
    tally = find_metric("r2").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_scikit_learns(seed):
    outputs, targets = draw(np.random.default_rng(seed), 60, perfect=False)
    found, values = (array.astype(np.float64) for array in (outputs["out"], targets["values"]))
    assert measure(outputs, targets) == pytest.approx(r2_score(values, found), abs=1e-9)


def test_axes_of_length_1_may_be_more_or_fewer():
    values = np.arange(3.0)
    assert measure({"out": values[:, None, None]}, {"values": values}) == find_metric("r2").SCALE.best


@pytest.mark.parametrize(
    "targets",
    [
        np.zeros((3, 3)),
        np.zeros(()),
        np.zeros((3, 2), complex),
        np.full((3, 2), np.nan),
        np.zeros((3, 0)),
        np.zeros((2, 3)),
    ],
)
def test_values_of_another_kind_are_refused(targets):
    refuse(ExitCode.MALFORMED, {"out": np.zeros((3, 2))}, {"values": targets})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_output_that_is_no_number_has_no_value(value):
    refuse(ExitCode.METRIC, {"out": np.array([1.0, value])}, {"values": np.array([1.0, 2.0])})


@pytest.mark.parametrize("values", [np.full(3, 0.1), np.full(3, 1e30), np.array([5.0])])
def test_values_that_do_not_vary_prove_nothing(values):
    refuse(ExitCode.INVALID, {"out": values}, {"values": values})


def test_batches_of_other_values_are_refused():
    tally = find_metric("r2").start()
    tally.add({"out": np.zeros((2, 3))}, {"values": np.zeros((2, 3))})
    with pytest.raises(ToolchainError):
        tally.add({"out": np.zeros((2, 4))}, {"values": np.zeros((2, 4))})
