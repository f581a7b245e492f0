"""The target: the class of board to deploy to. One TOML file each, data only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr

from toolchain.agent.manifest import BUILD_LIMIT_S_MAX, THREADS_MAX, Precision, SignaturePolicy
from toolchain.agent.measure.traits import Traits, find_traits, list_runtimes
from toolchain.agent.measure.version import matches_version
from toolchain.errors import ToolchainError, usage
from toolchain.project.agent_members import use_member
from toolchain.project.seams import RUNTIMES
from toolchain.project.toml_file import Section, check_table, read_toml
from toolchain.run.names import check_path


class CompatibleSection(Section):
    """What a board must be. None accepts any."""

    arch: str | None = None
    accelerator: str | None = None
    runtime_version: str | None = None
    """A PEP 440 specifier, such as ">=1.23"."""
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


class Target(Section):
    """A target, and the file that it was read from."""

    runtime: str
    precision: list[Precision] = Field(min_length=1)
    """In order of preference; one that is not faster than the next is not shipped."""
    threads: int = Field(default=1, ge=1, le=THREADS_MAX)
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
    _listed: tuple[Precision, ...] = PrivateAttr(default=())

    @property
    def listed_precisions(self) -> tuple[Precision, ...]:
        """The precisions that the target lists, whether or not it was narrowed to one of them."""
        return self._listed or tuple(self.precision)

    @property
    def name(self) -> str:
        return self._path.stem

    @property
    def path(self) -> Path:
        return self._path

    def narrow(self, precision: Precision) -> Target:
        """Return the target with this precision alone."""
        target = self.model_copy(update={"precision": [precision]})
        target._path = self._path
        target._listed = self.listed_precisions
        return target


def read_target(path: Path) -> Target:
    """Return the target in a TOML file; raises ToolchainError (exit 2) for anything wrong in it."""
    resolved = check_path(path.resolve(), "the target")
    target = check_table(Target, read_toml(path, "target"), what="the target", where=str(path))
    target._path = resolved
    if len(set(target.precision)) < len(target.precision):
        raise usage(
            "a precision is listed twice",
            where=f"{path}: precision",
            expected="every precision once",
            found=", ".join(target.precision),
            fix="remove one of them",
        )
    traits = _find_traits(target)
    if bool(target.compute_capabilities) != (traits.engine == "host"):
        raise usage(
            "compute_capabilities and the runtime do not go together",
            where=f"{path}: compute_capabilities",
            expected=f"some for {_name_runtimes('host')}, none for every other",
            found=f'{target.compute_capabilities or "none"} for "{target.runtime}"',
            fix='name those of the GPUs to build for, such as ["8.6", "8.9"], or remove them',
        )
    _check_build(target, traits)
    required = target.compatible.runtime_version
    try:
        matches_version("0", required or ">=0")
    except ToolchainError as error:
        raise usage(
            "the required version cannot be read",
            where=f"{path}: compatible.runtime_version",
            expected="clauses such as >=1.23, joined by commas",
            found=repr(required),
            fix="correct compatible.runtime_version",
        ) from error
    return target


def _find_traits(target: Target) -> Traits:
    use_member(RUNTIMES, target.runtime, where=f"{target.path}: runtime")
    return find_traits(target.runtime)


def _name_runtimes(engine: str) -> str:
    """Return the runtimes whose engines are built there, as a target names them."""
    names = [name for name in list_runtimes() if find_traits(name).engine == engine]
    return " or ".join(f'runtime = "{name}"' for name in names)


def _check_build(target: Target, traits: Traits) -> None:
    """Refuse (exit 2) wishes for a build that nothing would follow."""
    build = target.build

    def refuse(key: str, what: str, expected: str, found: str) -> ToolchainError:
        fix = f"correct {key} in [build], or remove it"
        return usage(what, where=f"{target.path}: build.{key}", expected=expected, found=found, fix=fix)

    if build.model_fields_set and traits.engine != "board":
        key = min(build.model_fields_set)
        raise refuse(key, "this runtime builds no engine on the board", _name_runtimes("board"), f'"{target.runtime}"')
    if build.dla_core is not None and "float32" in target.precision:
        raise refuse(
            "dla_core", "the DLA does not compute in float32", "precisions int8 and fp16", "float32 among them"
        )
    if build.gpu_fallback and build.dla_core is None:
        raise refuse("gpu_fallback", "there is no DLA to fall back from", "dla_core beside it", "none")
