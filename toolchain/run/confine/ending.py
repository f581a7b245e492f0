"""What became of a confined process, as the error for it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from toolchain.errors import ExitCode, ToolchainError, malformed
from toolchain.run.confine.inside import Steps
from toolchain.run.confine.limits import Limits

_MB = 2**20

_TRUST = "do not use a file whose source you do not trust; where you trust it"


class UnexpectedError(Exception):
    """An exception of the work that nobody foresaw, with its own traceback as text."""


@dataclass(frozen=True)
class Endings:
    """The errors for one confined model. where: its file."""

    where: str
    limits: Limits

    def open_last(self, last: list[Any], steps: Steps) -> Any:
        """Return the result that a child's last word is, or raise the error that it is."""
        try:
            kind, *values = last
            if kind == "result":
                (value,) = values
                return value
            error = self._read_error(kind, values, steps)
        except (ValueError, TypeError, LookupError, AttributeError) as problem:
            raise self.refuse_words(f"{type(problem).__name__}: {problem}") from problem
        raise error

    def _read_error(self, kind: str, values: list[Any], steps: Steps) -> Exception:
        if kind == "error":
            (told,) = values
            texts = {key: _read_text(told[key]) for key in ("where", "expected", "found", "fix")}
            return ToolchainError(ExitCode(told["code"]), str(told["what"]), **texts)
        if kind == "exhausted":
            what, found = values
            return self._refuse_memory(steps, str(found)) if what == "memory" else self._refuse_nesting(str(found))
        if kind == "module":
            text, name = values
            return ModuleNotFoundError(str(text), name=_read_text(name))
        if kind == "system":
            number, text, name = values
            return OSError(number, text, name)
        description, trace = values
        return UnexpectedError(f"{description}\n\nIn the confined process:\n{trace}")

    def explain_death(self, number: int | None, steps: Steps, printed: bytes) -> ToolchainError:
        """Return the error for a process that ended without a last word."""
        if b"bad_alloc" in printed:
            return self._refuse_memory(steps, "std::bad_alloc")
        if number == signal.SIGXCPU:
            return self.refuse_total()
        name = "no word" if number is None else signal.Signals(number).name
        if number == signal.SIGKILL:
            name += ", as the system ends what takes its memory"
        return malformed(
            "the model ends the process that runs it",
            where=self.where,
            expected="a result",
            found=f"a process that ended with {name} {_name_step(steps)}",
            fix="export the model again; do not use a file whose source you do not trust",
        )

    def refuse_step(self, steps: Steps, taken_s: float) -> ToolchainError:
        """Return the error for a step that does not end."""
        return malformed(
            "the model takes too long",
            where=self.where,
            expected=f"at most {steps.limit_s:.3g} s for one step, by the sizes of the file and of a sample",
            found=f"{taken_s:.1f} s {_name_step(steps)}, and no end",
            fix=f"{_TRUST}, raise step_s in [limits] of its recipe",
        )

    def refuse_silence(self, taken_s: float) -> ToolchainError:
        """Return the error for a process that stands still."""
        return malformed(
            "the work on the model stands still",
            where=self.where,
            expected="a step now and then",
            found=f"none for {taken_s:.0f} s",
            fix="try again; if it stays so, report it with the model",
        )

    def refuse_total(self) -> ToolchainError:
        """Return the error for work that takes too long as a whole."""
        return malformed(
            "the model takes too long as a whole",
            where=self.where,
            expected=f"at most {self.limits.total_limit_s:.6g} s",
            found="more",
            fix=f"take fewer samples; {_TRUST}, raise total_s in [limits] of its recipe",
        )

    def refuse_words(self, found: str) -> ToolchainError:
        """Return the error for a process that says what it should not."""
        return malformed(
            "the process that runs the model answers nonsense",
            where=self.where,
            expected="lines of JSON of bounded length",
            found=found,
            fix="do not use a file whose source you do not trust; where you trust it, report it with the model",
        )

    def _refuse_memory(self, steps: Steps, found: str) -> ToolchainError:
        return malformed(
            "the model takes too much memory",
            where=self.where,
            expected=f"at most {steps.memory_limit_bytes / _MB:.0f} MB, by the sizes of the file and of a sample",
            found=f"more {_name_step(steps)}: {found}",
            fix=f"{_TRUST}, raise memory_mb in [limits] of its recipe",
        )

    def _refuse_nesting(self, found: str) -> ToolchainError:
        return malformed(
            "the model is nested too deep",
            where=self.where,
            found=found,
            fix="export the model again with fewer graphs in graphs; do not use a file whose source you do not trust",
        )


def _name_step(steps: Steps) -> str:
    if not steps.begun:
        return "before the first step"
    return f"at {steps.name}" if steps.begun > steps.ended else f"after {steps.name}"


def _read_text(value: Any) -> str | None:
    return None if value is None else str(value)
