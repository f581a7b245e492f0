import numpy as np
import pytest

from toolchain.errors import usage
from toolchain.graph.independence import find_dependence

SAMPLES = [{"x": np.random.default_rng(seed).standard_normal((1, 8)).astype(np.float32)} for seed in range(2)]


def answer(function):
    return find_dependence(lambda arrays: {"y": function(arrays["x"]), "z": arrays["x"]}, SAMPLES)


@pytest.mark.parametrize(
    ("function", "db_max"),
    [
        (lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), 20),  # BatchNormalization in training mode
        (lambda x: x + 0.01 * x.mean(0), 60),
        (lambda x: x.cumsum(0), 20),
    ],
)
def test_an_answer_that_depends_on_the_sample_beside_it_is_found(function, db_max):
    name, sqnr_db = answer(function)
    assert name == "y"
    assert sqnr_db < db_max


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2,
        lambda x: x * (1 + 1e-6 * len(x)),  # rounds otherwise
        np.log,  # NaN at the same places
        lambda x: x.sum(),  # without an axis of samples
        lambda x: x.argmax(1),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_answer_that_does_not_or_of_which_nobody_can_tell_is_none(function):
    assert answer(function) is None


def test_a_graph_that_takes_one_sample_alone_depends_on_none():
    def take_one(x):
        if len(x) > 1:
            raise usage("the payload fails to run", fix="give one")
        return x

    assert answer(take_one) is None
