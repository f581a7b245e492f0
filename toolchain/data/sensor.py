"""A data set in both forms: as the sensor gives its samples, and as the model takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.preprocess.picture import arrange_pixels, prepare_picture
from toolchain.agent.measure.targets import TargetArray
from toolchain.agent.sensor import InputSpec, PictureSpec, count_channels
from toolchain.data.dataset import Dataset, Samples, TrainingSamples, name_sample
from toolchain.data.process_input import process_input
from toolchain.errors import usage


@dataclass(frozen=True)
class SensorSamples:
    """A part of a data set as the sensor gives it: made of the pixels, frames or numbers that the part has."""

    samples: Samples
    spec: InputSpec
    array: str
    """The one of the part's arrays that the sensor gives."""
    read: Callable[[int, int], NDArray[Any]]
    """From start and stop to the sensor's batch."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def targets(self) -> Mapping[str, TargetArray]:
        """What a model should answer, by name."""
        return self.samples.targets

    @cached_property
    def sha256(self) -> str:
        """Of the content, and of what is said of the sensor."""
        return hashlib.sha256(f"{self.samples.sha256} {self.spec.picture} {self.spec.sound}".encode()).hexdigest()

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the samples start to stop."""
        others = {}
        if not is_whole(self.samples):
            others = {name: rows for name, rows in self.samples.batch(start, stop).items() if name != self.array}
        return {self.array: self.read(start, stop), **others}

    def name_sample(self, index: int) -> str:
        """Return what a sample is called in the part."""
        return name_sample(self.samples, index)


@dataclass(frozen=True)
class ProcessedSamples:
    """Samples of a sensor as the model takes them."""

    samples: Samples
    spec: InputSpec
    array: str

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def targets(self) -> Mapping[str, TargetArray]:
        """What a model should answer, by name."""
        return self.samples.targets

    @cached_property
    def sha256(self) -> str:
        """Of the content, and of what is made of it."""
        return hashlib.sha256(f"{self.samples.sha256} {self.spec}".encode()).hexdigest()

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the samples start to stop."""
        return self._process(self.samples.batch(start, stop))

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the samples at the indices `(n,)`."""
        return self._process(cast("TrainingSamples", self.samples).take(indices))

    def name_sample(self, index: int) -> str:
        """Return what a sample is called in the part."""
        return name_sample(self.samples, index)

    def _process(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {**arrays, self.array: process_input(arrays[self.array], self.spec)}


@dataclass(frozen=True)
class Sensed:
    """A data set for a model with a sensor in front."""

    model: Dataset
    """As the model takes it, by the data set's own transform where it has one."""
    sensor: Dataset
    processed: Dataset
    """As the model takes what the sensor gives: what the payload's model sees on the board."""
    is_reframed: bool
    """Whether frames of other sizes are resized by the manifest's rules, and not by the data set's."""
    is_independent: bool
    """Whether the data set transforms its samples itself, so that the two forms prove each other."""

    def read_frames(self, count: int) -> NDArray[Any]:
        """Return the first evaluation samples as the data set has them, before anything is made of them."""
        evaluation = cast("SensorSamples", self.sensor.evaluation)
        return evaluation.samples.batch(0, count)[evaluation.array]


def is_whole(samples: Samples) -> bool:
    """Return whether a part has pixels, and so nothing else than pictures."""
    return getattr(samples, "read_pixels", None) is not None


def sense_dataset(data: Dataset, spec: InputSpec, *, array: str, where: str) -> Sensed:
    """Return a data set in both forms; raises ToolchainError (exit 2) where it has none that the sensor gives."""
    calibration, evaluation = (_sense(part, spec, array, where) for part in (data.calibration, data.evaluation))
    sensor = replace(data, train=None, calibration=calibration, evaluation=evaluation)
    processed = replace(
        sensor,
        calibration=ProcessedSamples(calibration, spec, array),
        evaluation=ProcessedSamples(evaluation, spec, array),
    )
    if is_whole(data.evaluation) or _is_decoded_sound(data.evaluation, spec, array):
        return Sensed(data, sensor, processed, is_reframed=_is_reframed(data.evaluation, spec), is_independent=True)
    train = None if data.train is None else ProcessedSamples(data.train, spec, array)
    return Sensed(replace(processed, train=train), sensor, processed, is_reframed=False, is_independent=False)


def _is_reframed(samples: Samples, spec: InputSpec) -> bool:
    return (
        spec.picture is not None and spec.picture.resize != "none" and getattr(samples, "read_frame", None) is not None
    )


def _sense(samples: Samples, spec: InputSpec, array: str, where: str) -> SensorSamples:
    picture = spec.picture
    if picture is not None and picture.is_yuv:
        return SensorSamples(samples, spec, array, _read_yuv(samples, picture, array, where))
    if picture is not None and is_whole(samples):
        if picture.type != "uint8":
            fix = 'set type = "uint8", or bring the sensor\'s samples as arrays (npz)'
            raise _refuse(
                f"the pixels of the data set are bytes, and the sensor gives {picture.type}",
                "uint8",
                picture.type,
                where,
                fix,
            )
        read = (
            _read_frames(samples, picture, where)
            if _is_reframed(samples, spec)
            else _read_pixels(samples, picture, where)
        )
        return SensorSamples(samples, spec, array, read)
    read = _read_array(samples, array)
    if _is_decoded_sound(samples, spec, array):
        return SensorSamples(samples, spec, array, _encode_sound(read, spec, where))
    found = read(0, 1)
    fits = str(found.dtype) == spec.type
    shape = None if picture is None else picture.list_shape()
    if shape is not None:
        fits = fits and found.ndim == 4 and found.shape[1:] == shape[1:]
    if not fits:
        wanted = spec.type + ("" if shape is None else f" of shape ({', '.join(map(str, shape[1:]))})")
        fix = "bring the samples as the sensor gives them, before any normalization: the graph does that"
        raise _refuse(
            "the data are not what the sensor gives", wanted, f"{found.dtype} of shape {found.shape[1:]}", where, fix
        )
    if picture is not None and found.dtype.kind == "f":
        read = _refuse_negative(read, array, where)
    return SensorSamples(samples, spec, array, read)


def _read_array(samples: Samples, array: str) -> Callable[[int, int], NDArray[Any]]:
    return lambda start, stop: samples.batch(start, stop)[array]


def _is_decoded_sound(samples: Samples, spec: InputSpec, array: str) -> bool:
    """Return whether a part has sound as floats that were whole numbers in its files."""
    if spec.sound is None or spec.type == "float32":
        return False
    return samples.batch(0, 1)[array].dtype.kind == "f"


def _encode_sound(
    read: Callable[[int, int], NDArray[Any]], spec: InputSpec, where: str
) -> Callable[[int, int], NDArray[Any]]:
    """Return what gives the whole numbers that floats were: those that [input] makes the same floats of, and no others."""
    limits = np.iinfo(spec.type)

    def encode(start: int, stop: int) -> NDArray[Any]:
        floats = read(start, stop)
        mean, std = (np.array(values, dtype=np.float64) for values in (spec.in_graph.mean, spec.in_graph.std))
        numbers = np.rint((floats * std + mean) / spec.in_graph.scale).clip(limits.min, limits.max).astype(spec.type)
        off = np.abs(process_input(numbers, spec) - floats).max()
        if off > np.abs(floats).max() * 1e-6:
            fix = f"set scale to what made floats of {spec.type}, or bring sound of that many bits"
            raise _refuse(
                f"the sound is not what {spec.type} gives",
                "samples that [input] makes again",
                f"{off:.3g} off",
                where,
                fix,
            )
        return numbers

    return encode


def _refuse_negative(
    read: Callable[[int, int], NDArray[Any]], array: str, where: str
) -> Callable[[int, int], NDArray[Any]]:
    def check(start: int, stop: int) -> NDArray[Any]:
        found = read(start, stop)
        if (found < 0).any():
            fix = "bring the pictures as the camera gives them, and let [input] alone say mean and std"
            raise _refuse(
                "a picture has negative light: it seems to be normalized already",
                "0 or more",
                f"{found.min():g}",
                f"{where}: {array}",
                fix,
            )
        return found

    return check


def _read_pixels(samples: Samples, picture: PictureSpec, where: str) -> Callable[[int, int], NDArray[Any]]:
    read: Callable[[int, int], NDArray[np.uint8]] = samples.read_pixels  # type: ignore[attr-defined]
    found, channels = read(0, 1).shape[1:], count_channels(picture.colour)
    if found != (picture.height, picture.width, channels):
        expected = f"{picture.height}x{picture.width}, {channels} channels ({picture.colour})"
        fix = "correct size or colour of [input], or the options of the data set"
        raise _refuse(
            "the pictures of the data set have another size",
            expected,
            f"{found[0]}x{found[1]}, {found[2]} channels",
            where,
            fix,
        )
    return lambda start, stop: arrange_pixels(turn_colours(read(start, stop), picture.colour), picture.layout)


def _read_frames(samples: Samples, picture: PictureSpec, where: str) -> Callable[[int, int], NDArray[Any]]:
    """Return what makes the sensor's batch of the frames, by the rules that the application has."""
    read: Callable[[int], NDArray[np.uint8]] = samples.read_frame  # type: ignore[attr-defined]
    framed: Mapping[str, Any] = getattr(samples, "framed", {})
    for key, value in framed.items():
        if samples.targets.keys() - {"labels"} and value != getattr(picture, key):
            fix = f"write {key} = {value!r} into [input], or the same in both"
            what = "the targets of the data set are where it lays its pictures, and the sensor's lie elsewhere"
            raise _refuse(what, f"{key} {value}", str(getattr(picture, key)), where, fix)

    def prepare(index: int) -> NDArray[Any]:
        return prepare_picture(turn_colours(read(index), picture.colour), picture)[0]

    return lambda start, stop: np.concatenate([prepare(index) for index in range(start, min(stop, len(samples)))])


def _read_yuv(samples: Samples, picture: PictureSpec, array: str, where: str) -> Callable[[int, int], NDArray[Any]]:
    """Return what makes the payload's batch of a YUV camera's own frames."""
    if is_whole(samples):
        # Made YUV by us they would be what [input] says, whatever the camera gives.
        fix = "record frames of the camera, and bring them as an array (npz)"
        raise _refuse(
            "the pictures of the data set are no frames of the sensor", picture.colour, "pictures", where, fix
        )
    read = _read_array(samples, array)

    def prepare(start: int, stop: int) -> NDArray[Any]:
        return np.concatenate([prepare_picture(frame, picture)[0] for frame in read(start, stop)])

    prepare(0, 1)
    return prepare


def turn_colours(pixels: NDArray[Any], colour: str) -> NDArray[Any]:
    """Return pixels (..., c) in RGB or grey as a sensor of a colour order gives them."""
    return np.ascontiguousarray(pixels[..., ::-1]) if colour == "BGR" else pixels


def _refuse(what: str, expected: str, found: str, where: str, fix: str) -> Exception:
    return usage(what, where=f"[input] and {where}", expected=expected, found=found, fix=fix)
