"""What a fresh process is told, over its stdin: a line that says what to load, then frame after frame."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Dict, List, Mapping, Optional

from ...build_spec import BuildSpec
from ..session import BuildRequest, ShapeRange

if TYPE_CHECKING:
    from numpy.typing import NDArray

USUAL, LARGEST = "usual", "largest"


def encode_line(document: Mapping[str, Any]) -> bytes:
    """Return a line of JSON."""
    return json.dumps(document, allow_nan=False).encode("utf-8") + b"\n"


def encode_build(build: BuildRequest) -> Dict[str, Any]:
    """Return what a runtime that builds engines must know, as JSON types; who builds says nothing of its steps."""
    return {
        "bundle_dir": str(build.bundle_dir.absolute()),
        "bundle_id": build.bundle_id,
        "shapes": {name: asdict(shapes) for name, shapes in build.shapes.items()},
        "spec": asdict(build.spec),
        "engines": None if build.engines is None else str(build.engines.absolute()),
    }


def decode_build(document: Mapping[str, Any]) -> BuildRequest:
    """Return what encode_build was given."""
    return BuildRequest(
        bundle_dir=Path(document["bundle_dir"]),
        bundle_id=document["bundle_id"],
        shapes={
            name: ShapeRange(**{key: tuple(shape) for key, shape in shapes.items()})
            for name, shapes in document["shapes"].items()
        },
        spec=BuildSpec(**document["spec"]),
        engines=None if document["engines"] is None else Path(document["engines"]),
    )


def encode_frame(kind: str, feeds: Mapping[str, "NDArray[Any]"]) -> List[bytes]:
    """Return the inputs of one run: a line with their names, types and shapes, then their bytes."""
    import numpy as np

    arrays = {name: np.ascontiguousarray(array) for name, array in feeds.items()}
    heads = [[name, str(array.dtype), list(feeds[name].shape), array.nbytes] for name, array in arrays.items()]
    return [encode_line({"kind": kind, "feeds": heads}), *(array.tobytes() for array in arrays.values())]


def read_frame(stream: IO[bytes]) -> Optional[Dict[str, Any]]:
    """Return {"kind": …, "feeds": arrays by name}, or None at the end; raises EOFError where it breaks off."""
    import numpy as np

    line = stream.readline()
    if not line:
        return None
    head = json.loads(line.decode("utf-8"))
    feeds = {}
    for name, dtype, shape, size_bytes in head["feeds"]:
        data = bytearray(size_bytes)  # that may be written to, as a runtime's inputs may
        view = memoryview(data)
        while view:
            count = stream.readinto(view)  # type: ignore[attr-defined]
            if not count:
                message = "a frame breaks off"
                raise EOFError(message)
            view = view[count:]
        feeds[name] = np.frombuffer(data, dtype=dtype).reshape(shape)
    return {"kind": head["kind"], "feeds": feeds}
