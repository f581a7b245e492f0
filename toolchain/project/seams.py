"""The seams: where a module adds to the toolchain, and what it must define. Data only; members.py finds the modules.

Each is a kind of thing that recipes, targets or devices name. Its members are the modules of one package of ours, the
files of one folder in the user's project, and the modules that installed packages name as entry points of one group.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Seam:
    """One kind of member."""

    name: str
    """The project's folder is plugins/NAME, the group of entry points toolchain.NAME."""
    noun: str
    """What messages call one of them."""
    package: str
    """Of the built-in members: those of its modules that define what is needed."""
    needs: tuple[str, ...]
    """The names that a member defines at the top of its file."""
    reserved: tuple[str, ...] = ()
    """Names that a recipe means something else by."""
    from_outside: bool = True
    """Whether projects and installed packages may add members; the others are added here."""

    @property
    def folder(self) -> str:
        """The folder in the user's project."""
        return f"plugins/{self.name}"

    @property
    def group(self) -> str:
        """The group of entry points."""
        return f"toolchain.{self.name}"


DATA_SETS = Seam(name="data_sets", noun="data set", package="toolchain.data", needs=("load",))
METHODS = Seam(
    name="methods",
    noun="compression method",
    package="toolchain.compress.methods",
    needs=("SUMMARY", "TRAINS", "Options", "apply"),
)
PASSES = Seam(name="passes", noun="ONNX pass", package="toolchain.optimize", needs=("apply",))
# Found by imports, so that a bundle that lacks one does not even start: what is not there would judge nothing.
GATES = Seam(
    name="gates",
    noun="gate",
    package="toolchain.agent.measure.gates",
    needs=("NAME", "GROUP", "judge"),
    from_outside=False,
)
CALIBRATION_METHODS = Seam(
    name="calibration_methods",
    noun="calibration method",
    package="toolchain.lower.calibration.methods",
    needs=("COUNTS", "choose_range"),
    reserved=("auto",),
)
METRICS = Seam(
    name="metrics",
    noun="metric",
    package="toolchain.agent.measure.metrics",
    needs=("SCALE", "OUTPUTS", "TARGETS", "start"),
    reserved=("none",),
)
DECODERS = Seam(
    name="decoders",
    noun="decoder",
    package="toolchain.agent.measure.decoders",
    needs=("OUTPUTS", "Options", "start"),
    reserved=("none",),
)
# A runtime is two modules of one name: the agent's, which travels, and the lowering for it, which stays.
RUNTIMES = Seam(name="runtimes", noun="runtime", package="toolchain.agent.measure.runtimes", needs=("TRAITS",))
LOWERINGS = Seam(name="lowerings", noun="lowering", package="toolchain.lower.runtimes", needs=("LOWERINGS",))
TASKS = Seam(
    name="tasks",
    noun="task",
    package="toolchain.tasks",
    needs=("SUMMARY", "METRIC", "TARGETS", "DECODER", "CLASS_AXIS", "MOVES", "Options", "make_loss", "check"),
)
