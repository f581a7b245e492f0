"""Whether [input] makes of the sensor's samples what the model was trained with: asked of whoever else prepares them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from toolchain.data.sensor import Sensed, is_whole, turn_colours
from toolchain.errors import usage
from toolchain.stages.prove_text import prove_text, prove_tokens
from toolchain.stages.run import PARITY_SAMPLES, Run


def prove_input(run: Run) -> list[str]:
    """Refuse (exit 2) an [input] that is not what the data set's transform or the user's own code does; return what is not proven."""
    sensed, section = run.sensed, run.recipe.input
    if sensed is None or section is None:
        return []
    if run.text is not None:
        return prove_text(run, run.text)
    from toolchain.data.check_transform import check_transform

    spec = run.describe_input(section.name or "input")
    if spec is None:
        raise TypeError("a section is described")
    if sensed.is_independent:
        for part in ("calibration", "evaluation"):
            numbers, prepared = _read_both(run, sensed, part)
            check_transform(numbers, prepared, spec, where=f"[input] and {run.name_data()}: {part}")
    if section.prepared is not None:
        path = run.recipe.folder / section.prepared
        prepared = _read_prepared(path)
        count = min(len(prepared), run.count_evaluation())
        where = f"[input] and {path}"
        if spec.picture is not None and spec.picture.is_yuv:
            from toolchain.data.check_yuv import check_yuv

            check_yuv(sensed.read_frames(count), prepared[:count], spec, where=where)
        else:
            numbers = _read_first(run.fed.evaluation.batch(0, count), section.name)
            check_transform(numbers, prepared[:count], spec, where=where)
    elif not sensed.is_independent:
        warning = (
            "nothing but the metric shows that [input] prepares samples as the training did: the data are the sensor's own. "
            "Name in input.prepared some that your own code has prepared"
        )
        return [warning]
    return []


def is_reframed(run: Run) -> bool:
    """Return whether the sensor's frames are laid by other rules than the data set's pictures."""
    return run.sensed is not None and run.sensed.is_reframed


def prove_sample(run: Run, index: int) -> None:
    """Refuse (exit 2) an evaluation sample that is not, as the sensor gives it, what the golden outputs were computed of."""
    sensed = run.sensed
    if sensed is None:
        return
    arrays = run.data.evaluation.batch(index, index + 1)  # and held to what it was when the model was run on it
    if run.text is not None:
        prove_tokens(run, run.text, "evaluation", range(index, index + 1), arrays)
        return
    if not sensed.is_reframed:
        from toolchain.data.check_transform import check_same

        for name, numbers in sensed.processed.evaluation.batch(index, index + 1).items():
            check_same(arrays[name], numbers, where=f"{run.name_data()}: evaluation sample {index}")


def _read_both(run: Run, sensed: Sensed, part: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first samples of a part as the sensor gives them and as the data set's own transform does."""
    section = run.recipe.input
    plain = getattr(run.data, part)
    count = min(PARITY_SAMPLES, len(plain))
    prepared = _read_first(plain.batch(0, count), section.name if section else None)
    sensor = getattr(sensed.sensor, part)
    if not is_whole(plain):
        return sensor.batch(0, count)[sensor.array], prepared
    # Of the data set's own pixels: its size of them may be made in another way than the sensor's.
    picture = sensor.spec.picture
    from toolchain.agent.measure.preprocess.picture import arrange_pixels

    return arrange_pixels(turn_colours(plain.read_pixels(0, count), picture.colour), picture.layout), prepared


def _read_first(arrays: dict[str, NDArray[Any]], name: str | None) -> NDArray[Any]:
    return arrays[name] if name is not None else next(iter(arrays.values()))


def _read_prepared(path: Path) -> NDArray[Any]:
    from toolchain.project.npz_file import read_arrays

    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise usage(
            "the file holds several arrays",
            where=str(path),
            expected="one: the first evaluation samples as the model takes them",
            found=", ".join(sorted(arrays)) or "none",
            fix="write it with numpy.savez(path, input=…)",
        )
    prepared = next(iter(arrays.values()))
    if not prepared.ndim or not len(prepared):
        raise usage(
            "the file has no samples",
            where=str(path),
            expected="the first evaluation samples as the model takes them",
            found=f"shape {prepared.shape}",
            fix="prepare some: what is held against nothing agrees with everything",
        )
    return prepared
