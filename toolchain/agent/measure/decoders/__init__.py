"""Decoders: what the outputs of a model mean, as a metric reads it. One a file, under the name that recipes give it.

A metric of boxes reads boxes, whatever grid a model has them in; a decoder makes them, of the *outputs* of a batch (name to
array, as the session of a payload returns them) and, where it needs them, of its *inputs*. What comes out are the named
outputs that metrics read: arrays `(n, ...)`, or Ragged where samples have different numbers of rows. A decoder knows one
batch at a time and remembers nothing. It runs on boards: numpy and nothing else.

The options of a decoder are a frozen dataclass `Options` of its module, read strictly (../options.py).
"""

from __future__ import annotations

import difflib
import sys
from typing import Any, Mapping, Protocol, Sequence, Tuple, cast

from numpy.typing import NDArray

from ...errors import ExitCode, ToolchainError
from ..checked_decoder import CheckedDecoder
from ..functions import find_decoder_in
from ..guard import guard_call
from ..members import import_member, list_members
from ..targets import TargetArray

Arrays = Mapping[str, NDArray[Any]]
Decoded = Mapping[str, TargetArray]


class Decoder(Protocol):
    """A decoder with its options.

    It may say what answers there are: `count_classes(outputs)`, how many classes, of the outputs of a batch, None where that is
    not known, and `list_letters()`, the letters of its texts. Targets beyond them are refused before anything is measured.
    """

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        """Return those outputs of a model, in its order, that are read; the others are gated by their drift."""

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:
        """Return what a batch of outputs means; one that cannot be read is a ToolchainError (exit 23)."""


class DecoderModule(Protocol):
    """A module of this folder."""

    OUTPUTS: Tuple[str, ...]
    """What it makes."""
    Options: type
    """A frozen dataclass."""

    def start(self, options: Any) -> Decoder:
        """Return the decoder with its options."""


def list_decoders() -> Sequence[str]:
    """Return the names of all decoders, sorted."""
    return list_members(sys.modules[__name__])


def find_decoder(name: str, options: Mapping[str, object]) -> CheckedDecoder:
    """Return the decoder of this name with its options, held to what the protocol promises.

    Raises ToolchainError (exit 2) for an unknown decoder or option, and for a decoder that breaks as it is imported or
    defines something else.
    """
    known = list_decoders()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ToolchainError(
            ExitCode.USAGE,
            f"there is no decoder {name!r}",
            where="decoder",
            expected=f"one of {', '.join(known)}",
            found=repr(name),
            fix=f"write {near[0]}" if near else "correct the name",
        )
    try:
        with guard_call("decoder", name):
            module = cast("DecoderModule", find_decoder_in(import_member(sys.modules[__name__], name), name))
        names = module.OUTPUTS
    except ToolchainError:
        raise
    except Exception as error:
        raise _refuse(
            name, "a module that needs numpy and the agent alone", f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(names, tuple) or not names or not all(isinstance(item, str) for item in names):
        raise _refuse(name, "OUTPUTS, a tuple of names", repr(names)[:80])
    return CheckedDecoder(name, module, options)


def _refuse(name: str, expected: str, found: str) -> ToolchainError:
    what, fix = f"{name} is no decoder", f"correct {name}.py"
    return ToolchainError(ExitCode.USAGE, what, where="decoder", expected=expected, found=found, fix=fix)
