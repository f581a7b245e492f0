"""What a manifest of anybody's can cost whoever reads it: 64 MB and 2 s, whatever is in it."""

import contextlib
import json
import os
import resource
import subprocess
import sys

import pytest

from tests.agent.worst_manifests import WORST
from toolchain.agent.errors import ToolchainError
from toolchain.agent.manifest import MANIFEST_SIZE_BYTES_MAX, parse_manifest

MEMORY_MB_MAX = 64
CPU_S_MAX = 2


def measure_all():
    """Print what reading each manifest costs: in a process of its own each, which begins with what this one has."""
    for name, make in WORST.items():
        data = make()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            before = resource.getrusage(resource.RUSAGE_SELF)
            with contextlib.suppress(ToolchainError):
                parse_manifest(data)
            after = resource.getrusage(resource.RUSAGE_SELF)
            cost = {
                "name": name,
                "size_bytes": len(data),
                "memory_mb": (after.ru_maxrss - before.ru_maxrss) / 1024,
                "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            }
            os.write(writer, json.dumps(cost).encode())
            os._exit(0)
        os.close(writer)
        os.waitpid(child, 0)
        with os.fdopen(reader) as file:
            sys.stdout.write((file.read() or json.dumps({"name": name, "error": "it did not end by itself"})) + "\n")


@pytest.fixture(scope="module")
def costs():
    # Of a process without the test runner: what that has freed is memory that nobody sees being taken.
    done = subprocess.run([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return {cost["name"]: cost for cost in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_manifest_of_the_allowed_size_is_read_or_refused_at_once(costs, name):
    cost = costs[name]
    assert cost["size_bytes"] <= MANIFEST_SIZE_BYTES_MAX
    assert (cost["memory_mb"] <= MEMORY_MB_MAX, cost["cpu_s"] <= CPU_S_MAX) == (True, True), cost


def test_the_worst_manifests_are_as_large_as_they_may_be_and_cost_something(costs):
    assert min(cost["size_bytes"] for cost in costs.values()) > 0.75 * MANIFEST_SIZE_BYTES_MAX
    assert max(cost["memory_mb"] for cost in costs.values()) > 10


if __name__ == "__main__":
    measure_all()
