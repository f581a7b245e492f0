"""Keys of a target that are right each and ask together for what cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolchain.agent.candidates import CANDIDATES_MAX
from toolchain.agent.measure.traits import find_traits, list_runtimes
from toolchain.agent.measure.version import matches_version
from toolchain.errors import ToolchainError, usage
from toolchain.project.agent_members import use_member
from toolchain.project.seams import RUNTIMES

if TYPE_CHECKING:
    from toolchain.project.target import Target


def check_target_keys(target: Target) -> None:
    """Refuse (exit 2) a target whose keys contradict each other, or name what there is not."""
    lists: dict[str, Sequence[object]] = {
        "precision": target.precision,
        "runtime": target.runtimes,
        "threads": target.thread_counts,
        "pinning": target.pinning,
    }
    for key, values in lists.items():
        if len(set(values)) < len(values):
            raise usage(
                "a precision is listed twice" if key == "precision" else f"something is listed twice in {key}",
                where=f"{target.path}: {key}",
                expected=f"every {'precision' if key == 'precision' else 'one'} once",
                found=", ".join(map(str, values)),
                fix="remove one of them",
            )
    for runtime in target.runtimes:
        use_member(RUNTIMES, runtime, where=f"{target.path}: runtime")
    engines = {runtime: find_traits(runtime).engine for runtime in target.runtimes}
    _check_pinning(target)
    _check_several(target, [runtime for runtime, engine in engines.items() if engine is not None])
    engine = engines[target.runtime]
    if bool(target.compute_capabilities) != (engine == "host"):
        raise usage(
            "compute_capabilities and the runtime do not go together",
            where=f"{target.path}: compute_capabilities",
            expected=f"some for {_name_runtimes('host')}, none for every other",
            found=f'{target.compute_capabilities or "none"} for "{target.runtime}"',
            fix='name those of the GPUs to build for, such as ["8.6", "8.9"], or remove them',
        )
    _check_build(target, engine)
    _check_versions(target)


def _check_several(target: Target, with_engines: Sequence[str]) -> None:
    """Refuse several runtimes or thread counts where each payload is built for one board and its own runtime."""
    ways = len(target.runtimes) * len(target.thread_counts)
    if with_engines and ways > 1:
        key = "runtime" if len(target.runtimes) > 1 else "threads"
        raise usage(
            "a runtime that builds engines stands alone, and the threads are its own",
            where=f"{target.path}: {key}",
            expected=f'runtime = "{with_engines[0]}", and one number of threads',
            found=", ".join(map(str, target.runtimes if key == "runtime" else target.thread_counts)),
            fix="write a target for each runtime, and deploy to both",
        )
    if len(target.runtimes) > 1 and target.activation_type != "auto":
        raise usage(
            "several runtimes have each their own type of int8 activations",
            where=f"{target.path}: activation_type",
            expected='"auto", or one runtime',
            found=target.activation_type,
            fix="remove activation_type, or list one runtime",
        )
    candidates = len(target.precision) * sum(len(target.list_ways(runtime)) for runtime in target.runtimes)
    if candidates > CANDIDATES_MAX:
        raise usage(
            "the target lists more than can be measured against each other",
            where=f"{target.path}: precision, runtime, threads and pinning",
            expected=f"at most {CANDIDATES_MAX} candidates",
            found=f"{candidates}",
            fix="list fewer of them",
        )


def _check_pinning(target: Target) -> None:
    """Refuse pinning that no runtime of the target does, and a runtime that is left without any candidate by it."""
    ways = {runtime: target.list_ways(runtime) for runtime in target.runtimes}
    pinned = [runtime for runtime, found in ways.items() if any(pins_threads for _, pins_threads in found)]
    idle = [runtime for runtime, found in ways.items() if not found]
    if idle or (True in target.pinning and not pinned):
        known = {name: find_traits(name).pins_from for name in list_runtimes()}
        able = [f"{name} on {least} or more threads" for name, least in known.items() if least is not None]
        raise usage(
            "threads are to be pinned where none can be",
            where=f"{target.path}: pinning",
            expected=" or ".join(able),
            found=f"{', '.join(idle or target.runtimes)} on {', '.join(map(str, target.thread_counts))}",
            fix="list more threads, write pinning = [false, true], or remove it",
        )


def _check_versions(target: Target) -> None:
    required = target.compatible.runtime_version
    where = f"{target.path}: compatible.runtime_version"
    if isinstance(required, str) and len(target.runtimes) > 1:
        raise usage(
            "each of several runtimes has versions of its own",
            where=where,
            expected=f"a table with {', '.join(target.runtimes)}",
            found=repr(required),
            fix=f'write runtime_version = {{ {target.runtime} = "{required}", … }}',
        )
    strange = sorted({} if isinstance(required, str | None) else required.keys() - set(target.runtimes))
    if strange:
        raise usage(
            "versions are required of a runtime that the target does not list",
            where=where,
            expected=f"one of {', '.join(target.runtimes)}",
            found=", ".join(strange),
            fix="correct the name, or list the runtime",
        )
    for version in target.describe_compatible().runtime_versions.values():
        try:
            matches_version("0", version or ">=0")
        except ToolchainError as error:
            raise usage(
                "the required version cannot be read",
                where=where,
                expected="clauses such as >=1.23, joined by commas",
                found=repr(version),
                fix="correct compatible.runtime_version",
            ) from error


def _name_runtimes(engine: str) -> str:
    """Return the runtimes whose engines are built there, as a target names them."""
    names = [name for name in list_runtimes() if find_traits(name).engine == engine]
    return " or ".join(f'runtime = "{name}"' for name in names)


def _check_build(target: Target, engine: str | None) -> None:
    """Refuse (exit 2) wishes for a build that nothing would follow."""
    build = target.build

    def refuse(key: str, what: str, expected: str, found: str) -> ToolchainError:
        fix = f"correct {key} in [build], or remove it"
        return usage(what, where=f"{target.path}: build.{key}", expected=expected, found=found, fix=fix)

    if build.model_fields_set and engine != "board":
        key = min(build.model_fields_set)
        raise refuse(key, "this runtime builds no engine on the board", _name_runtimes("board"), f'"{target.runtime}"')
    if build.dla_core is not None and "float32" in target.precision:
        raise refuse(
            "dla_core", "the DLA does not compute in float32", "precisions int8 and fp16", "float32 among them"
        )
    if build.gpu_fallback and build.dla_core is None:
        raise refuse("gpu_fallback", "there is no DLA to fall back from", "dla_core beside it", "none")
