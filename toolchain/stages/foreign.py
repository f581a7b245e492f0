"""Where a recipe's model is somebody else's ONNX file, the stages that open and run it do so confined: the one switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import TypeAdapter

from toolchain.data.dataset import measure_arrays
from toolchain.run.confine import inside
from toolchain.run.confine.child import Relay
from toolchain.run.confine.confine import confine
from toolchain.run.confine.limits import Limits, measure_files
from toolchain.run.stage_record import StageRecord
from toolchain.stages.run import Run

Result = TypeVar("Result")

_RECORD = TypeAdapter(StageRecord)


def run_stages(run: Run, work: Callable[[Run], Result], *, gives: type[Result]) -> Result:
    """Return what the work makes of the run: in this process, or confined for a model that we did not export.

    A module's own Python runs with the user's rights anyway, and what PyTorch exports of it is ours. gives: the type of the
    result, which comes back as data. Records and notes of the stages come back as they are made.

    Raises ToolchainError as the work does, and as confine does (exit 23).
    """
    name = run.recipe.model.onnx
    if name is None:
        return work(run)
    path = run.recipe.folder / name
    adapter = TypeAdapter(gives)

    def work_apart(relay: Relay) -> Any:
        inside.grow_limits(sample_bytes=measure_arrays(run.data.calibration.batch(0, 1)))
        run.progress = relay.progress
        run.records = _Told(relay, "record")
        run.notes = _Told(relay, "note")
        return adapter.dump_python(work(run), mode="json")

    def take(told: Any) -> None:
        kind, value = told
        if kind == "record":
            run.records.append(_RECORD.validate_python(value))
        else:
            run.notes.append(str(value))

    limits = Limits(model_bytes=measure_files([path]), **run.recipe.limits.model_dump())
    result = confine(work_apart, limits=limits, progress=run.progress, where=str(path), on_told=take)
    return adapter.validate_python(result)


class _Told(list[Any]):
    """A list of a run whose items the watching process gets at once."""

    def __init__(self, relay: Relay, kind: str) -> None:
        super().__init__()
        self._relay = relay
        self._kind = kind

    def append(self, item: Any) -> None:
        super().append(item)
        self._relay.tell([self._kind, asdict(item) if isinstance(item, StageRecord) else item])
