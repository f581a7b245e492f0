"""Which layers of a candidate are slower than in the next one, kernel by kernel: a note for whoever lowers again.

Nothing is judged by it. A kernel's own time leaves out the conversions at its borders; what the model gains without these
layers is proven when it is lowered, shipped and measured anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple

from ..candidates import Opening
from ..errors import ToolchainError
from ..manifest import Manifest
from .latency import NOT_FASTER, SESSION_LUCK, decide
from .placement import Placement
from .quantiles import Ratio
from .session import BuildRequest

# A note is to be read; the rest is counted.
_NAMED_MAX = 20


def describe_unpaid(
    runtime: Any,
    bundle_dir: Path,
    manifest: Manifest,
    placements: Mapping[Opening, Placement],
    feeds: Mapping[str, Any],
    builds: Mapping[Opening, BuildRequest],
) -> Tuple[str, ...]:
    """Return a note on the int8 layers that do not pay on this board, where its runtime tells the times of layers.

    A profile that cannot be taken is a note too, and no failure: the verdict does not rest on it.
    """
    compare_layers = getattr(runtime, "compare_layers", None)
    precisions = [candidate.precision for candidate in manifest.candidates]
    if compare_layers is None or "int8" not in precisions[:-1]:
        return ()
    index = precisions.index("int8")
    first, second = (candidate.opening for candidate in manifest.candidates[index : index + 2])
    if first == second:
        return ()
    layers = [layer.name for layer in placements[first].layers if layer.precision == "int8"]
    try:
        ratios = compare_layers(
            [bundle_dir / first.path, bundle_dir / second.path],
            feeds,
            builds=[builds[first], builds[second]],
            layers=layers,
        )
    except ToolchainError as error:
        return (f"the layers of int8 were not timed: {error.what}: {error.found or error.where}",)
    return write_note(find_unpaid(ratios), precisions[index + 1])


def find_unpaid(ratios: Mapping[str, Ratio]) -> Dict[str, Ratio]:
    """Return the layers that are surely not faster, by how many times as long each takes in the other precision."""
    wider = {
        name: Ratio(
            ratio=ratio.ratio,
            low=None if ratio.low is None else ratio.low / (1.0 + SESSION_LUCK),
            high=None if ratio.high is None else ratio.high * (1.0 + SESSION_LUCK),
        )
        for name, ratio in ratios.items()
    }
    return {name: ratio for name, ratio in wider.items() if decide(ratio) == NOT_FASTER}


def write_note(unpaid: Mapping[str, Ratio], following: str) -> Tuple[str, ...]:
    """Return the sentence that says which layers do not pay, and what lowers again without them; nothing without any."""
    if not unpaid:
        return ()
    named: Sequence[str] = sorted(unpaid, key=lambda name: (unpaid[name].high or 0.0, name))[:_NAMED_MAX]
    times = ", ".join(
        f"{name!a} ({unpaid[name].ratio or 0.0:.2f} times as fast as in {following}, at most {unpaid[name].high or 0.0:.2f})"
        for name in named
    )
    rest = f", and {len(unpaid) - len(named)} more" if len(unpaid) > len(named) else ""
    what = "1 layer does" if len(unpaid) == 1 else f"{len(unpaid)} layers do"
    advice = f"[quantize] keep_float = {json.dumps(sorted(unpaid))} lowers again without, and a deploy proves what it is worth"
    return (f"{what} not pay in int8 by the times of kernels on this board: {times}{rest}; {advice}",)
