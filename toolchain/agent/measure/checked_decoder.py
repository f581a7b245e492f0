"""A decoder as somebody else wrote it, held to what the protocol promises (decoders/__init__.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence

import numpy as np

from ..errors import ExitCode, ToolchainError
from .guard import guard_call
from .options import read_options
from .parts import describe_rows, refuse_part
from .targets import Ragged, TargetArray

if TYPE_CHECKING:
    from .decoders import Arrays, DecoderModule


class CheckedDecoder:
    """A decoder that makes what it says it does, a row or rows for each sample, whoever wrote it."""

    def __init__(self, name: str, module: DecoderModule, options: Mapping[str, object]) -> None:
        """Read the options; raises ToolchainError (exit 2) for those that it does not take."""
        kind, member = getattr(module, "Options", None), f"the decoder {name}"
        with guard_call("decoder", name):
            given = read_options(kind, options, member=member, where="decoder options")
        self.OUTPUTS, self._name = module.OUTPUTS, name
        try:
            with guard_call("decoder", name):
                self._decoder = module.start(given)
        except ToolchainError:
            raise
        except Exception as error:
            raise self._explain(error, ExitCode.USAGE) from error

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        """Return those outputs of a model, in its order, that are read."""
        with guard_call("decoder", self._name):
            read = set(self._decoder.list_read(outputs))
        return [name for name in outputs if name in read]

    def count_classes(self, outputs: Arrays) -> Optional[int]:
        """Return how many classes there are among the answers; None where the decoder does not say."""
        count = self._ask("count_classes", outputs)
        return None if count is None else int(count)

    def list_letters(self) -> Optional[str]:
        """Return the letters that its texts may have; None where the decoder does not say."""
        letters = self._ask("list_letters")
        return None if letters is None else str(letters)

    def _ask(self, question: str, *given: Any) -> Any:
        answer = getattr(self._decoder, question, None)
        try:
            with guard_call("decoder", self._name):
                return None if answer is None else answer(*given)
        except ToolchainError:
            raise
        except Exception as error:
            raise self._explain(error, ExitCode.MALFORMED) from error

    def decode(self, outputs: Arrays, inputs: Arrays) -> Dict[str, TargetArray]:
        """Return what a batch of outputs means; raises ToolchainError (exit 23) where the decoder breaks."""
        try:
            # NaN and infinity are answers, wrong ones: nothing to warn of.
            with np.errstate(all="ignore"), guard_call("decoder", self._name):
                made = dict(self._decoder.decode(outputs, inputs))
        except ToolchainError:
            raise
        except Exception as error:
            raise self._explain(error, ExitCode.MALFORMED) from error
        if set(made) != set(self.OUTPUTS):
            raise refuse_part(
                self._name,
                "what it made",
                expected=", ".join(self.OUTPUTS),
                found=", ".join(map(str, made)) or "nothing",
            )
        lengths = {name: self._count_samples(name, rows) for name, rows in made.items()}
        if len(set(lengths.values())) != 1:
            found = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise refuse_part(self._name, "what it made", expected="one number of samples", found=found)
        return {name: made[name] for name in self.OUTPUTS}

    def _count_samples(self, name: str, rows: object) -> int:
        if isinstance(rows, np.ndarray) and rows.ndim:
            return len(rows)
        if isinstance(rows, Ragged):
            offsets, count = rows.offsets, len(rows.values)
            if len(offsets) and offsets[0] == 0 and offsets[-1] == count and bool((offsets[1:] >= offsets[:-1]).all()):
                return len(rows)
        found = describe_rows(rows) if isinstance(rows, (np.ndarray, Ragged)) else type(rows).__name__
        raise refuse_part(self._name, f"the {name} it made", expected="an array or Ragged", found=found)

    def _explain(self, error: Exception, code: ExitCode) -> ToolchainError:
        found = f"{type(error).__name__}: {error}"
        what, fix = f"the decoder {self._name} breaks", f"correct {self._name}.py, its options or the outputs"
        return ToolchainError(code, what, where="decoder", expected="what the outputs mean", found=found, fix=fix)
