import numpy as np
import pytest

from toolchain.agent.measure.decoders import find_decoder
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import Ragged
from toolchain.data.blind_decoder import refuse_blind_decoder
from toolchain.errors import ExitCode, ToolchainError

ARGMAX = find_decoder("argmax_mask", {})


class OfInputs:
    """A decoder that looks at the inputs alone."""

    def __init__(self, is_ragged):
        self._is_ragged = is_ragged

    def decode(self, outputs, inputs):
        values = inputs["x"].astype(np.int64)
        return {"mask": Ragged(values=values[0], offsets=np.array([0, len(values[0])])) if self._is_ragged else values}


def answer(index):
    scores = np.random.default_rng(index).normal(size=(1, 3, 2, 2))
    return {"x": np.full((1, 4), index)}, {"y": scores}


def check(decoder, answer=answer, samples=20):
    refuse_blind_decoder(Scoring("miou", find_metric("miou"), decoder), answer, samples=samples, where="output.decode")


def test_a_decoder_that_reads_outputs_passes_and_so_does_none():
    check(ARGMAX)
    check(None)


def test_outputs_that_differ_once_are_enough():
    rare = lambda index: ({}, {"y": np.eye(3)[int(index == 7)].reshape(1, 3, 1, 1)})  # noqa: E731 - a line
    check(ARGMAX, rare)


@pytest.mark.parametrize("is_ragged", [False, True])
def test_a_decoder_that_answers_from_the_inputs_alone_is_refused(is_ragged):
    with pytest.raises(ToolchainError) as caught:
        check(OfInputs(is_ragged))
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def test_a_model_that_returns_the_same_for_all_is_refused():
    with pytest.raises(ToolchainError):
        check(ARGMAX, lambda _index: ({}, {"y": np.ones((1, 3, 2, 2))}))
