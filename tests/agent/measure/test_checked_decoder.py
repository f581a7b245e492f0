"""What a decoder that somebody else wrote may not do: each is an error that says so, and no output."""

import types
from dataclasses import dataclass

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.checked_decoder import CheckedDecoder
from toolchain.agent.measure.targets import Ragged


@dataclass(frozen=True)
class Options:
    factor: float = 1.0


def make(decode, *, start=None, options=None):
    decoder = types.SimpleNamespace(decode=decode, list_read=lambda outputs: outputs[:1])
    module = types.SimpleNamespace(OUTPUTS=("a", "b"), Options=Options, start=start or (lambda _: decoder))
    return CheckedDecoder("own", module, options or {})


def refuse(call, code=ExitCode.MALFORMED):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


ROWS = Ragged(values=np.zeros(3), offsets=np.array([0, 1, 3]))


def test_what_it_says_it_makes_is_returned_in_its_order():
    made = make(lambda outputs, inputs: {"b": ROWS, "a": outputs["x"]}).decode({"x": np.zeros(2)}, {})
    assert list(made) == ["a", "b"]


@pytest.mark.parametrize(
    "made",
    [
        {"a": np.zeros(2)},
        {"a": np.zeros(2), "b": np.zeros(2), "c": np.zeros(2)},
        {"a": np.zeros(2), "b": np.zeros(3)},
        {"a": np.zeros(2), "b": np.zeros(())},
        {"a": np.zeros(2), "b": [0, 1]},
        {"a": np.zeros(2), "b": Ragged(values=np.zeros(3), offsets=np.array([0, 1, 2]))},
        {"a": np.zeros(2), "b": Ragged(values=np.zeros(3), offsets=np.array([0, 4, 3]))},
        {"a": np.zeros(2), "b": Ragged(values=np.zeros(3), offsets=np.zeros(0, np.int64))},
        None,
    ],
)
def test_anything_else_is_an_error(made):
    refuse(lambda: make(lambda outputs, inputs: made).decode({"x": np.zeros(2)}, {}))


def test_a_decoder_that_breaks_is_an_error_and_no_traceback():
    refuse(lambda: make(lambda outputs, inputs: outputs["y"]).decode({"x": np.zeros(2)}, {}))
    refuse(lambda: make(None, start=lambda _: 1 / 0), ExitCode.USAGE)


@pytest.mark.parametrize("options", [{"factors": 1.0}, {"factor": "1"}])
def test_options_that_it_does_not_have_are_refused(options):
    refuse(lambda: make(None, options=options), ExitCode.USAGE)
