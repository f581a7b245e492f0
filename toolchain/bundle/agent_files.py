"""The agent's files that ride in a bundle: what measures on its runtime, found by following the imports."""

from __future__ import annotations

from pathlib import Path

from toolchain.run.sources import Sources

_AGENT = "toolchain.agent"


def list_agent_files(sources: Sources, *, runtime: str) -> dict[str, Path]:
    """Return the files that `python -m agent verify` runs with a runtime, by their path in the agent's folder.

    Raises ValueError where the agent has no such runtime.
    """
    # The runtime is imported by its name, which no import statement shows.
    found = sources.list_imports(f"{_AGENT}.__main__", _AGENT, f"{_AGENT}.measure.runtimes.{runtime}")
    files = {name: path for name, path in found.items() if name == _AGENT or name.startswith(f"{_AGENT}.")}
    folder = files[_AGENT].parent
    return {path.relative_to(folder).as_posix(): path for path in sorted(files.values())}
