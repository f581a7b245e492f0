"""The float models that candidates are held against, each in every way of the target: by its runtimes, on its threads."""

from __future__ import annotations

from typing import Sequence

from ..candidates import Opening
from ..decode import clip
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest
from .record import UnopenedReference

# What a runtime says of a graph that it does not take: an operator or a type, or something that it takes for damage.
_NOT_TAKEN = (ExitCode.INCOMPATIBLE, ExitCode.MALFORMED)


def list_references(manifest: Manifest) -> Sequence[Opening]:
    """Return the float models that candidates are held against, in each of the target's ways: the user's own file, and ours of it.

    So a payload on two threads is held against float on two threads, and what threads gain is not told of its precision.
    """
    original = manifest.original.path
    paths = dict.fromkeys([*([] if original is None else [original]), manifest.reference])
    return [
        Opening(path, runtime=runtime, threads=threads, pins_threads=pins_threads)
        for path in paths
        for runtime, threads, pins_threads in manifest.ways
    ]


def may_stay_closed(opening: Opening, manifest: Manifest, error: ToolchainError) -> bool:
    """Return whether a payload is a reference alone, that one of several runtimes does not take."""
    is_candidate = any(opening == candidate.opening for candidate in manifest.candidates)
    return len(manifest.runtimes) > 1 and not is_candidate and error.code in _NOT_TAKEN


def explain_unopened(opening: Opening, error: ToolchainError) -> UnopenedReference:
    """Return what the record says of a reference that a runtime does not take."""
    reason = clip(error.what if error.found is None else f"{error.what}: {error.found}")
    return UnopenedReference(opening.path, runtime=opening.runtime, reason=reason)


def check_each_open(manifest: Manifest, opened: Sequence[Opening], unopened: Sequence[UnopenedReference]) -> None:
    """Refuse (exit 23) a float model that no runtime opens: speed would be held against another one alone."""
    for opening in list_references(manifest):
        if opening.path not in [reference.path for reference in opened]:
            raise ToolchainError(
                ExitCode.MALFORMED,
                "no runtime of the target opens a float model that speed is held against",
                where=opening.path,
                expected=f"one of {', '.join(manifest.runtimes)}",
                found="; ".join(item.reason for item in unopened if item.path == opening.path),
                fix="build the bundle again: `toolchain deploy`",
            )
