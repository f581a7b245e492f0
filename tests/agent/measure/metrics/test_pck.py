import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.targets import Ragged


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    places = generator.random((count, 5, 2)) * 100
    visible = generator.integers(0, 3, (count, 5, 1))
    found = places if perfect else places + generator.normal(size=places.shape) * 15
    return {"points": found}, {"points": np.concatenate([places, visible], axis=2)}


def measure(outputs, targets):
    tally = find_metric("pck").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


def count_plainly(found, truth, alpha):
    """Return the share as the definition has it, point by point."""
    near, seen = 0, 0
    for answer, sample in zip(found, truth, strict=True):
        visible = [(x, y) for x, y, shown in sample if shown > 0]
        if not visible:
            continue
        side = max(
            max(x for x, _ in visible) - min(x for x, _ in visible),
            max(y for _, y in visible) - min(y for _, y in visible),
        )
        for (x, y), (true_x, true_y, shown) in zip(answer, sample, strict=True):
            if shown > 0:
                seen += 1
                near += ((x - true_x) ** 2 + (y - true_y) ** 2) ** 0.5 <= alpha * side
    return near / seen


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_share_of_the_definition(seed, alpha):
    outputs, targets = draw(np.random.default_rng(seed), 30, perfect=False)
    tally = find_metric("pck", {"alpha": alpha}).start()
    tally.add(outputs, targets)
    assert tally.compute() == pytest.approx(count_plainly(outputs["points"], targets["points"], alpha), abs=1e-9)


def test_a_nan_is_nowhere_and_what_is_not_visible_does_not_matter():
    truth = np.array([[[0, 0, 1], [10, 10, 1], [np.nan, 0, 0]]])
    assert measure({"points": np.array([[[0, 0], [10, 10], [5, 5]]])}, {"points": truth}) == 1.0
    assert measure({"points": np.array([[[0, 0], [np.nan, 10], [5, 5]]])}, {"points": truth}) == 0.5


def test_samples_without_a_visible_point_prove_nothing():
    refuse(ExitCode.INVALID, {"points": np.zeros((2, 3, 2))}, {"points": np.zeros((2, 3, 3))})


@pytest.mark.parametrize(
    "points", [np.zeros((2, 3, 1)), np.zeros((2, 4, 2)), np.zeros((1, 3, 2)), np.zeros((2, 3, 2), complex)]
)
def test_points_of_another_shape_are_refused(points):
    refuse(ExitCode.MALFORMED, {"points": points}, {"points": np.ones((2, 3, 3))})


def test_a_visible_point_nowhere_is_refused():
    refuse(ExitCode.MALFORMED, {"points": np.zeros((1, 1, 2))}, {"points": np.array([[[np.nan, 0, 1]]])})


def test_persons_may_be_ragged_with_one_a_sample_and_nobody_has_no_point():
    outputs, targets = draw(np.random.default_rng(0), 6, perfect=False)
    points = targets["points"].copy()
    points[2] = 0
    ragged = Ragged(np.delete(points, 2, axis=0), np.array([0, 1, 2, 2, 3, 4, 5]))
    assert measure(outputs, {"points": ragged}) == measure(outputs, {"points": points})
    several = Ragged(points, np.array([0, 1, 2, 2, 4, 5, 6]))
    refuse(ExitCode.MALFORMED, outputs, {"points": several})


def test_the_order_of_samples_does_not_matter():
    outputs, targets = draw(np.random.default_rng(1), 30, perfect=False)
    order = np.random.default_rng(2).permutation(30)
    moved = measure({"points": outputs["points"][order]}, {"points": targets["points"][order]})
    assert moved == measure(outputs, targets)
