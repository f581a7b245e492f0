"""What a bundle weighs, and what its evaluation set can tell: `python -m benchmarks.bundle_size dist/resnet8/cpu/bundle`.

The gate on the metric compares the same samples with two models. Of n samples, let a share d be right with one model and
wrong with the other. Where neither is better, the measured drop has a standard deviation of sqrt(d / n) (McNemar, 1947):
95 % of all draws of n samples measure it within 1.96 of these.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np

from toolchain.agent.manifest import Manifest, read_manifest
from toolchain.agent.measure.golden import GoldenArrays, open_golden
from toolchain.agent.measure.session import open_session

_BATCH = 50


def weigh(manifest: Manifest) -> dict[str, list[int]]:
    """Return the number of files and their bytes, by the folder of the bundle that they lie in."""
    folders = sorted({entry.path.partition("/")[0] for entry in manifest.files})
    sizes = {name: [e.size_bytes for e in manifest.files if e.path.partition("/")[0] == name] for name in folders}
    return {name: [len(found), sum(found)] for name, found in sizes.items()}


def is_right(bundle: Path, manifest: Manifest, golden: GoldenArrays, path: str) -> np.ndarray:
    """Return for each sample whether a payload's first output has its label on top."""
    runtime, threads = manifest.ways[0]
    session = open_session(runtime, bundle / path, threads)
    name = manifest.outputs[0].name
    starts = range(0, golden.samples, _BATCH)
    runs = [session.run(golden.read_inputs(start, start + _BATCH))[name].argmax(axis=-1) for start in starts]
    return np.concatenate(runs) == golden.read_targets(0, golden.samples)["labels"]


def main() -> None:
    """Print what a bundle weighs, and how finely its samples tell a drop of the metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    bundle = parser.parse_args().bundle
    manifest, _ = read_manifest(bundle)
    golden = open_golden(bundle, manifest)
    document: dict[str, object] = {"files_and_bytes": weigh(manifest)}
    if manifest.metric.name == "top1":
        reference = is_right(bundle, manifest, golden, manifest.reference)
        for candidate in manifest.candidates:
            changed = float((is_right(bundle, manifest, golden, candidate.path) != reference).mean())
            half = 1.96 * math.sqrt(changed / golden.samples)
            document[candidate.precision] = {"changed": changed, "drop_within_95": half}
    print(json.dumps({"samples": golden.samples, **document}, indent=1))


if __name__ == "__main__":
    main()
