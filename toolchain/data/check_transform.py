"""Whether [input] makes of the sensor's numbers what the training made of them: by the data set's own transform, or the user's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.sensor import InGraph, InputSpec
from toolchain.data.process_input import process_input
from toolchain.errors import ToolchainError, usage

# Two right ways of the same sum in float32 differ in its last bits; a mean that is one byte off differs by a hundred times this.
_TOLERANCE = 1e-5


def check_transform(numbers: NDArray[Any], prepared: NDArray[Any], spec: InputSpec, *, where: str) -> None:
    """Refuse (exit 2) a sensor's batch of which [input] makes something else than another hand has prepared of the same samples."""
    found = process_input(numbers, spec)
    if _is_same(found, prepared):
        return
    raise _explain(found, numbers, prepared, spec, where)


def check_same(prepared: NDArray[Any], processed: NDArray[Any], *, where: str) -> None:
    """Refuse (exit 2) what [input] made of a sample where that is not what the model was run on."""
    if not _is_same(processed, prepared):
        raise usage(
            "a sample is not what the sensor gives of it",
            where=where,
            expected="what the data set prepares for the model",
            found="other values from the sensor's numbers",
            fix="correct [input]; of a data set of yours, read_pixels has to give what batch normalizes",
        )


def _is_same(found: NDArray[Any], prepared: NDArray[Any]) -> bool:
    if found.shape != prepared.shape:
        return False
    limit = _TOLERANCE * max(1.0, float(np.abs(prepared).max(initial=0.0)))
    return bool((np.abs(found - prepared) <= limit).all())


def _explain(
    found: NDArray[Any], numbers: NDArray[Any], prepared: NDArray[Any], spec: InputSpec, where: str
) -> ToolchainError:
    """Return the error, with the one change after which both agree where there is such a change."""
    if found.shape != prepared.shape:
        difference = f"shape {found.shape[1:]}, where it is {prepared.shape[1:]} there"
    else:
        difference = f"values that differ by up to {np.abs(found - prepared).max():.4g}"
    fix = "correct [input], or what prepares the data: what the model was trained with holds"
    for change, other in _list_changes(spec):
        if _is_same(_try(numbers, other), prepared):
            fix = f"they agree with {change}: write that into [input] if the model was trained so"
            break
    return usage(
        "[input] makes something else of the sensor's samples than they were prepared as for the model",
        where=where,
        expected="the same values",
        found=difference,
        fix=fix,
    )


def _try(numbers: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    try:
        return process_input(numbers, spec)
    except ValueError:  # numbers for each channel that meet another axis
        return np.empty(0, dtype=np.float32)


def _list_changes(spec: InputSpec) -> list[tuple[str, InputSpec]]:
    """Return what is often mixed up, with the input as it would be."""
    changes: list[tuple[str, InGraph]] = []
    graph = spec.in_graph
    changes.append(
        (
            "mean = [0.0] and std = [1.0] (they are applied by the model itself, or twice)",
            replace(graph, mean=(0.0,), std=(1.0,)),
        )
    )
    changes.append(("scale = 1.0", replace(graph, scale=1.0)))
    changes.append(("scale = 1.0, mean = [0.0] and std = [1.0]", replace(graph, scale=1.0, mean=(0.0,), std=(1.0,))))
    if graph.model_colour in ("RGB", "BGR"):
        other = "BGR" if graph.model_colour == "RGB" else "RGB"
        changes.append((f'model_colour = "{other}"', replace(graph, model_colour=other)))
    found = [(text, replace(spec, in_graph=changed)) for text, changed in changes]
    if spec.picture is not None:
        layouts = {"NHWC": "NCHW", "NCHW": "NHWC"}
        turned = replace(spec.picture, layout=layouts[spec.picture.layout])
        found.append((f'layout = "{turned.layout}"', replace(spec, picture=turned)))
        model_layout = layouts[graph.model_layout or "NCHW"]
        found.append(
            (f'model_layout = "{model_layout}"', replace(spec, in_graph=replace(graph, model_layout=model_layout)))
        )
    return found
