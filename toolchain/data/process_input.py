"""What the graph makes of a sensor's numbers, in numpy: the same steps in float32, for the model as it was trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.sensor import InputSpec


def process_input(numbers: NDArray[Any], spec: InputSpec) -> NDArray[np.float32]:
    """Return a sensor's batch, as the payload gets it, as the model takes it."""
    graph, picture = spec.in_graph, spec.picture
    mean, std = (np.array(values, dtype=np.float32) for values in (graph.mean, graph.std))
    values = numbers.astype(np.float32)
    if picture is None:
        return np.ascontiguousarray((values * np.float32(graph.scale) - mean) / std)
    if picture.layout == "NCHW":
        values = values.transpose(0, 2, 3, 1)
    if picture.tensor_colour != graph.model_colour:
        values = values[..., ::-1]
    values = (values * np.float32(graph.scale) - mean) / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if graph.model_layout == "NCHW" else values)
