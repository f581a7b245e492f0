"""What is learned from is held to what is judged on."""

import numpy as np
import pytest

from toolchain.data.npz import ArraySamples
from toolchain.data.shared_samples import hash_samples, refuse_learning_from_evaluation
from toolchain.errors import ExitCode, ToolchainError


def make(rows, **more):
    return ArraySamples(arrays={"x": rows, **more}, targets={}, sha256="")


def draw(count, seed=0, first=0):
    return np.random.default_rng(seed).normal(size=(first + count, 3))[first:]


def learn(training, evaluation, count=None):
    refuse_learning_from_evaluation(
        training, evaluation, len(evaluation) if count is None else count, where="train.data"
    )


@pytest.mark.parametrize(
    ("training", "evaluation"),
    [
        (draw(40), draw(40)),
        (draw(400)[::-1], draw(20)),
        (draw(20), draw(35)),
        (draw(8000), draw(60)),  # more than are looked at, of either or both
        (draw(8000), draw(3000)),
        (draw(60), draw(60)[np.random.default_rng(1).permutation(60)]),
    ],
)
def test_a_part_that_holds_the_evaluation_is_not_learned_from(training, evaluation):
    with pytest.raises(ToolchainError) as caught:
        learn(make(training), make(evaluation))
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.where == "train.data"
    assert "evaluation samples among" in caught.value.found


@pytest.mark.parametrize(
    ("training", "evaluation"),
    [
        (draw(40), draw(40, seed=1)),
        (draw(1000), np.concatenate([draw(4), draw(96, seed=1)])),  # copies of single ones
        (np.arange(400)[:, None] % 4.0, np.arange(40)[:, None] % 4.0),  # a table in which every row is many
        (draw(1), draw(1, seed=1)),
    ],
)
def test_parts_that_share_little_or_could_not_differ_are(training, evaluation):
    learn(make(training), make(evaluation))


def test_samples_that_are_not_used_may_be_learned_from():
    learn(make(draw(20, first=20)), make(draw(40)), count=20)


def test_the_order_of_the_inputs_says_nothing():
    one, other = draw(60), draw(60, seed=1)
    first = ArraySamples(arrays={"a": one, "b": other}, targets={}, sha256="")
    second = ArraySamples(arrays={"b": other, "a": one}, targets={}, sha256="")
    assert list(hash_samples(first, 0, 60)) == list(hash_samples(second, 0, 60))
    assert len(set(hash_samples(first, 5, 60))) == 55
