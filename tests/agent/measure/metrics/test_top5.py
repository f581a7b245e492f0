import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import top5


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    scores = generator.normal(size=(count, 9)).astype(np.float32)
    ranked = np.argsort(-scores, axis=1)
    labels = ranked[np.arange(count), np.arange(count) % (5 if perfect else 9)]
    return {"scores": scores}, {"labels": labels}


def measure(scores, labels):
    tally = top5.start()
    tally.add({"scores": np.array(scores, dtype=np.float32)}, {"labels": np.array(labels)})
    return tally.compute()


@given(st.lists(st.integers(-50, 50), min_size=6, max_size=12, unique=True), st.integers(0, 11))
def test_the_label_is_among_the_first_five_of_the_sorted_scores(scores, label):
    label %= len(scores)
    assert measure([scores], [label]) == float(label in np.argsort(scores)[::-1][:5])


@pytest.mark.parametrize(("ties", "right"), [(4, True), (5, False)])
def test_of_equal_scores_the_label_comes_last(ties, right):
    scores = np.zeros(12)
    scores[: ties + 1] = 1.0
    assert [measure([scores], [label]) for label in range(ties + 1)] == [float(right)] * (ties + 1)


def test_a_constant_answer_has_nothing_right():
    assert measure(np.ones((10, 10)), np.arange(10)) == 0.0


def test_infinite_scores_are_ordered_and_nan_is_wrong():
    assert measure([[np.inf, 1, 2, 3, 4, -np.inf]], [0]) == 1.0
    assert measure([[np.inf, 1, 2, 3, 4, -np.inf]], [5]) == 0.0
    assert measure([[np.nan, 1, 2, 3, 4, 5]], [5]) == 0.0


@pytest.mark.parametrize("label", [-1, 6])
def test_a_label_without_a_score_is_missed(label):
    assert measure([[6, 5, 4, 3, 2, 1]], [label]) == 0.0


def test_fewer_than_five_classes_are_refused_and_five_are_not():
    with pytest.raises(ToolchainError) as caught:
        measure(np.zeros((2, 4)), [0, 1])
    assert (caught.value.code, caught.value.found) == (ExitCode.MALFORMED, "4")
    assert "top1" in caught.value.fix
    assert measure([[5, 4, 3, 2, 1]], [4]) == 1.0
