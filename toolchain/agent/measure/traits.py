"""What is known of a runtime before it is loaded, or even installed: each module in runtimes/ states it as TRAITS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Optional, Sequence, Tuple, cast

from ..errors import ExitCode, ToolchainError
from . import runtimes
from .members import import_member, list_members


@dataclass(frozen=True)
class LibraryPlaces:
    """Where a runtime's libraries are: packages and folders beside its module, and patterns in the system's folders."""

    beside: Tuple[str, ...]
    system: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Traits:
    """A runtime's own statements of itself. Its name is that of its module here, and of the Python module that it is.

    `install` is the command that gets it. `engine` says where an engine is built of each payload, which takes minutes and
    must know the shapes of all inputs: on the board, or ahead of time on the host, for GPUs that the target lists and no
    board opens yet; None where payloads run as they are. `lowered_with` are distributions that change what the host makes
    for this runtime where they are installed, and need not be. `pins_from` is the least number of threads of which it can keep
    each on a CPU of its own; None where it cannot.
    """

    install: str
    libraries: LibraryPlaces
    engine: Optional[Literal["board", "host"]] = None
    lowered_with: Tuple[str, ...] = ()
    pins_from: Optional[int] = None


def list_runtimes() -> Sequence[str]:
    """Return the names of the runtimes that are known here."""
    return list_members(runtimes)


def can_pin(runtime: str, threads: int) -> bool:
    """Return whether a runtime can keep each of so many threads on a CPU of its own; raises as find_traits does."""
    pins_from = find_traits(runtime).pins_from
    return pins_from is not None and threads >= pins_from


def find_traits(name: str) -> Traits:
    """Return the traits of a runtime; raises ToolchainError (exit 2) for an unknown name."""
    known = list_runtimes()
    if name not in known:
        raise ToolchainError(
            code=ExitCode.USAGE,
            what=f"there is no runtime {name!r}",
            where="runtime",
            expected=f"one of {', '.join(known)}",
            found=repr(name),
            fix="correct the target's runtime",
        )
    return cast("Traits", import_member(runtimes, name).TRAITS)
