from dataclasses import dataclass
from typing import Optional, Tuple  # noqa: UP035 - as the agent's Python 3.8 writes them

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.options import read_options


@dataclass(frozen=True)
class Options:
    names: Tuple[str, ...]  # noqa: UP006
    ignore: int = 255
    share: float = 0.5
    blank: Optional[int] = None  # noqa: UP045

    def __post_init__(self):
        if not self.names:
            message = "at least one name"
            raise ValueError(message)


def read(given, kind=Options):
    return read_options(kind, given, member="the metric x", where="options")


def test_what_is_given_is_read_and_the_rest_is_the_default():
    assert read({"names": ["a", "b"], "share": 1}) == Options(names=("a", "b"), share=1.0)
    assert read({}, None) is None


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        ({"names": ["a"], "ignor": 1}, "write ignore"),
        ({"names": ["a"], "zzz": 1}, "take it out"),
        ({}, "give names"),
        ({"names": "a"}, "correct the value"),
        ({"names": [1]}, "correct the value"),
        ({"names": ["a"], "ignore": 1.5}, "correct the value"),
        ({"names": ["a"], "ignore": True}, "correct the value"),
        ({"names": ["a"], "ignore": 2**80}, "correct the value"),
        ({"names": ["a"], "share": float("nan")}, "correct the value"),
        ({"names": ["a"], "share": "0.5"}, "correct the value"),
        ({"names": []}, "correct the value"),
    ],
)
def test_anything_else_is_a_usage_error_with_its_fix(given, fix):
    with pytest.raises(ToolchainError) as caught:
        read(given)
    assert (caught.value.code, caught.value.fix) == (ExitCode.USAGE, fix)
    assert caught.value.expected


def test_an_option_of_a_member_that_has_none_is_refused():
    with pytest.raises(ToolchainError, match="no option") as caught:
        read({"ignore": 1}, None)
    assert caught.value.code is ExitCode.USAGE
