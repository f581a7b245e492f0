"""The target: the class of board to deploy to. One TOML file each, data only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, WithJsonSchema

from toolchain.agent.build_spec import BUILD_LIMIT_S_MAX
from toolchain.agent.manifest import THREADS_MAX, Compatible, Precision, SignaturePolicy
from toolchain.agent.measure.traits import can_pin
from toolchain.project.target_contradictions import check_target_keys
from toolchain.project.toml_file import Section, check_table, read_toml
from toolchain.run.names import check_path


class CompatibleSection(Section):
    """What a board must be. None accepts any."""

    arch: str | None = None
    accelerator: str | None = None
    runtime_version: str | dict[str, str] | None = None
    """A PEP 440 specifier, such as ">=1.23"; where the target lists several runtimes, a table with one of each."""
    cpu_features: list[str] = Field(default_factory=list)


class TargetGates(Section):
    """Gates that belong to the board; a recipe's own gate of the same name wins."""

    latency_p90_ms_max: float | None = Field(default=None, gt=0)
    int8_share_min: float | None = Field(default=None, ge=0, le=1)


class BuildSection(Section):
    """How a runtime may build engines on the board (agent/manifest.py: BuildSpec)."""

    limit_s: float = Field(default=BUILD_LIMIT_S_MAX, gt=0, le=BUILD_LIMIT_S_MAX)
    workspace_mib: int | None = Field(default=None, ge=1)
    dla_core: int | None = Field(default=None, ge=0)
    """Candidates run on this core of the DLA, which takes int8 and fp16; the reference stays on the GPU."""
    gpu_fallback: bool = False
    """Layers that the DLA does not take run on the GPU, and the report lists them; else they are refused (exit 12)."""


def _list(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _describe_one_or_more(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


_Threads = Annotated[int, Field(ge=1, le=THREADS_MAX)]


class Target(Section):
    """A target, and the file that it was read from."""

    runtimes: Annotated[
        list[str], Field(min_length=1), BeforeValidator(_list), _describe_one_or_more({"type": "string"})
    ] = Field(alias="runtime")
    """What opens payloads: one, or a list, of which the best that is proven is shipped."""
    precision: list[Precision] = Field(min_length=1)
    """In order of preference; one that is not faster than all later ones is not shipped."""
    thread_counts: Annotated[
        list[_Threads],
        Field(min_length=1),
        BeforeValidator(_list),
        _describe_one_or_more({"type": "integer", "minimum": 1, "maximum": THREADS_MAX}),
    ] = Field(default=[1], alias="threads")
    """One number, or a list, of which the best that is proven is shipped. Within a precision the first runtime on the first
    number of threads is preferred, where no other is surely faster."""
    pinning: Annotated[
        list[bool],
        Field(min_length=1),
        BeforeValidator(_list),
        _describe_one_or_more({"type": "boolean"}),
    ] = Field(default=[False])
    """Whether each thread keeps to a CPU of its own, or a list of both, of which the best that is proven is shipped."""
    activation_type: Literal["auto", "uint8", "int8"] = "auto"
    """Of int8 activations; "auto" takes what the board's CPU does well and states it in lowering.json."""
    compute_capabilities: list[str] = Field(default_factory=list)
    """Of the GPUs that a runtime builds engines for ahead of time, such as "8.6"; for no other runtime."""
    signature: SignaturePolicy = "required"
    emulated: bool = False
    """Latency on an emulated board is no measurement and never gates."""
    compatible: CompatibleSection = Field(default_factory=CompatibleSection)
    build: BuildSection = Field(default_factory=BuildSection)
    gates: TargetGates = Field(default_factory=TargetGates)
    _path: Path = PrivateAttr(default=Path())
    _listed: Target | None = PrivateAttr(default=None)

    @property
    def listed(self) -> Target:
        """The target as its file has it, whether or not it was narrowed."""
        return self if self._listed is None else self._listed

    @property
    def listed_precisions(self) -> tuple[Precision, ...]:
        """The precisions that its file lists."""
        return tuple(self.listed.precision)

    @property
    def runtime(self) -> str:
        """The runtime of a target that was narrowed to one; of several the first."""
        return self.runtimes[0]

    @property
    def threads(self) -> int:
        """The number of threads that lowering measures on; of several the first."""
        return self.thread_counts[0]

    @property
    def name(self) -> str:
        return self._path.stem

    @property
    def path(self) -> Path:
        return self._path

    def list_ways(self, runtime: str) -> list[tuple[int, bool]]:
        """Return on how many threads a runtime opens payloads, and whether pinned, in order: without what it cannot pin."""
        return [
            (threads, pins_threads)
            for threads in self.thread_counts
            for pins_threads in self.pinning
            if not pins_threads or can_pin(runtime, threads)
        ]

    def narrow(self, precision: Precision, runtime: str | None = None) -> Target:
        """Return the target with this precision alone, and with this runtime alone where one is named."""
        runtimes = self.runtimes if runtime is None else [runtime]
        target = self.model_copy(update={"precision": [precision], "runtimes": runtimes})
        target._path = self._path
        target._listed = self.listed
        return target

    def name_lowered(self, precision: str, runtime: str) -> str:
        """Return what people call the payload of a precision: with its runtime, where the target lists several."""
        return precision if len(self.listed.runtimes) == 1 else f"{precision} {runtime}"

    def describe_compatible(self) -> Compatible:
        """Return what a board must be, as a manifest says it."""
        section, versions = self.compatible, self.compatible.runtime_version or {}
        return Compatible(
            arch=section.arch,
            accelerator=section.accelerator,
            runtime_versions={self.runtime: versions} if isinstance(versions, str) else dict(versions),
            cpu_features=tuple(section.cpu_features),
        )


def read_target(path: Path) -> Target:
    """Return the target in a TOML file; raises ToolchainError (exit 2) for anything wrong in it."""
    resolved = check_path(path.resolve(), "the target")
    target = check_table(Target, read_toml(path, "target"), what="the target", where=str(path))
    target._path = resolved
    check_target_keys(target)
    return target
