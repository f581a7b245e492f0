"""The build hook of the wheel: of the toolchain's agent, what edge_app imports, found by following the imports."""

from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_REPOSITORY = Path(__file__).parents[1]
_AGENT = "toolchain.agent"
# They are imported by their names, which no import statement shows.
_MEMBERS = {"decoders": None, "runtimes": ("onnxruntime", "openvino", "tensorrt")}
# What measures speed, layers and roofs, and what builds engines: runtimes import it when they are asked to, and no application asks.
# What a host offers is a type to what an application asks of signatures.
_LEFT_OUT = (
    *("measure.latency", "measure.layer_times", "measure.quantiles", "measure.peaks"),
    *("measure.onnxruntime_peaks", "measure.onnxruntime_profile"),
    *("measure.openvino.kernels", "measure.openvino.layers", "measure.openvino.peaks"),
    *(
        "measure.tensorrt.built",
        "measure.tensorrt.device_memory",
        "measure.tensorrt.profiler",
        "measure.tensorrt.timing",
    ),
    *("install.offer", "install.channel"),
)


def list_agent_files() -> dict[str, Path]:
    """Return the files by their place in the agent's package."""
    finder = ModuleFinder(path=[str(_REPOSITORY)], excludes=[f"{_AGENT}.{name}" for name in _LEFT_OUT])
    chosen = [f"{_AGENT}.application.model"]
    for kind, names in _MEMBERS.items():
        folder = _REPOSITORY / "toolchain/agent/measure" / kind
        listed = names or sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
        chosen += [f"{_AGENT}.measure.{kind}.{name}" for name in listed]
    for name in chosen:
        finder.import_hook(name)
    own = {name: module for name, module in finder.modules.items() if name.startswith(_AGENT)}
    folder = _REPOSITORY / "toolchain/agent"
    files = [Path(module.__file__) for module in own.values() if module.__file__]
    return {path.relative_to(folder).as_posix(): path for path in files}


class CustomBuildHook(BuildHookInterface):
    """Puts the agent's files into edge_app/agent."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See list_agent_files; an editable installation would need them too, and gets none."""
        del version
        for place, path in list_agent_files().items():
            build_data["force_include"][str(path)] = f"edge_app/agent/{place}"
