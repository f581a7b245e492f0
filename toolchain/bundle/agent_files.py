"""The agent's files that ride in a bundle: what measures on its runtime, found by following the imports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import toolchain.agent
from toolchain.agent.manifest import Manifest, MetricSpec
from toolchain.agent.measure.members import find_outside, list_outside
from toolchain.run.cache import hash_file
from toolchain.run.sources import Sources

_AGENT = "toolchain.agent"
_MEASURE = f"{_AGENT}.measure"


def list_agent_files(sources: Sources, *, runtimes: Sequence[str], metric: MetricSpec) -> dict[str, Path]:
    """Return the files that `python -m agent verify` runs with runtimes, a metric and its decoder, by their path in the agent's folder.

    A member from outside rides where it will be found, among those of its package. Raises ValueError where the agent has
    no such member.
    """
    # They are imported by their names, which no import statement shows.
    chosen = [(f"{_MEASURE}.runtimes", runtime) for runtime in runtimes]
    chosen += [] if metric.name is None else [(f"{_MEASURE}.metrics", metric.name)]
    chosen += [] if metric.decoder is None else [(f"{_MEASURE}.decoders", metric.decoder.name)]
    outside = {f"{package}.{name}": find_outside(package, name) for package, name in chosen}
    joined = {module: path for module, path in outside.items() if path is not None}
    found = sources.list_imports(f"{_AGENT}.__main__", _AGENT, *outside.keys() - joined.keys(), joined=joined)
    names = sorted(name for name in found if name == _AGENT or name.startswith(f"{_AGENT}."))
    folder = found[_AGENT].parent
    places = {name: f"{name.removeprefix(f'{_AGENT}.').replace('.', '/')}.py" for name in joined}
    return {places.get(name) or found[name].relative_to(folder).as_posix(): found[name] for name in names}


def list_foreign_files(manifest: Manifest) -> list[str]:
    """Return the files of a bundle's agent that are not those of this toolchain's own, or of members that were registered."""
    package = Path(toolchain.agent.__file__).parent
    outside = {
        f"agent/{name.partition('.agent.')[2].replace('.', '/')}.py": path for name, path in list_outside().items()
    }
    foreign = []
    for entry in manifest.files:
        if entry.path.startswith("agent/"):
            own = outside.get(entry.path, package / entry.path.partition("/")[2])
            if not own.is_file() or hash_file(own) != entry.sha256:
                foreign.append(entry.path)
    return foreign
