"""How long the whole flow takes for resnet8, as whole processes: with an empty cache, and when nothing changed.

    python -m benchmarks.flow

Prints one JSON line per case: the wall time of `toolchain deploy resnet8` in seconds (every run), the exit code, and the
verdict's speedup of int8 over float with its 99 % interval.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_COLD_RUNS = 3
_CACHED_RUNS = 5


def deploy_resnet8(cache: Path, out: Path) -> dict[str, Any]:
    """Return what one deploy of resnet8 took and said; the speedup and its interval are None where there is none."""
    started_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "toolchain", "deploy", "resnet8", "--quiet", "--json", "--out", str(out)],
        env={**os.environ, "TOOLCHAIN_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    report = json.loads(done.stdout)
    latency = report["latency"] or {}
    return {
        "wall_s": round(time.perf_counter() - started_s, 2),
        "exit_code": done.returncode,
        "verdict": report["verdict"],
        "reasons": report["reasons"],
        **{key: latency.get(key) for key in ("speedup", "speedup_low", "speedup_high")},
    }


def _summarize(case: str, runs: list[dict[str, Any]]) -> str:
    return json.dumps({"case": case, **{key: [run[key] for run in runs] for key in runs[0]}})


def main() -> None:
    """Print one row per case."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cold = [deploy_resnet8(root / f"cache-{index}", root / "out") for index in range(_COLD_RUNS)]
        sys.stdout.write(_summarize("empty cache", cold) + "\n")
        cached = [deploy_resnet8(root / "cache-0", root / "out") for _ in range(_CACHED_RUNS)]
        sys.stdout.write(_summarize("nothing changed", cached) + "\n")


if __name__ == "__main__":
    main()
