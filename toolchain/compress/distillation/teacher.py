"""A teacher's outputs; scores of classes for every training sample, computed once and shared by all students."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolchain.compress.material import Material
from toolchain.compress.outputs import Inputs, describe_inputs, run_model
from toolchain.data.dataset import TrainingSamples, are_pictures
from toolchain.errors import ToolchainError, usage
from toolchain.module.fit import Batch, start_accelerator
from toolchain.module.forward import Call, bind_inputs, name_outputs

_BATCH_SIZE = 256  # larger ones are not faster on a CPU
_FILE = "logits.npy"

Shapes = Mapping[str, tuple[int, ...]]
"""Of a model's outputs for one sample, by name, without the axis of samples."""


@dataclass(frozen=True)
class TeacherOutputs:
    """What a teacher says of every training sample `(2, N, classes)`: as it is, and mirrored where it is a picture."""

    name: str
    both: NDArray[np.float32]

    def pick(self, batch: Batch) -> dict[str, Tensor]:
        """Return the scores of a batch `(n, classes)`; by how much the crop has shifted a picture plays no part."""
        mirrored = batch.mirrored.cpu().numpy().astype(np.int64)
        return {self.name: torch.from_numpy(self.both[mirrored, batch.indices]).to(batch.images.device)}


def find_shapes(model: nn.Module, inputs: Inputs, *, role: str, where: str) -> Shapes:
    """Return the shapes of the model's outputs; raises ToolchainError (exit 2) for one that does not take these inputs."""
    try:
        outputs = run_model(model, inputs)
    except ToolchainError as error:
        raise usage(
            f"the {role} does not take the samples of this recipe",
            where=where,
            expected=f"a model for {describe_inputs(inputs)}",
            found=error.found,
            fix=f"choose a {role} for this data",
        ) from error
    return {name: tuple(output.shape[1:]) for name, output in outputs.items()}


def is_kept(shapes: Shapes, material: Material) -> bool:
    """Return whether the outputs are scores of classes alone, which no shift of a picture moves."""
    return material.objective.task.CLASS_AXIS == 1 and [len(shape) for shape in shapes.values()] == [1]


def load_teacher(material: Material, name: str, *, shapes: Shapes) -> nn.Module:
    """Return a teacher with outputs of these names and shapes; raises ToolchainError (exit 2) where it has others."""
    teacher = material.load_teacher(name)
    where = f"{material.where}: teacher = {name!r}"
    _check_shapes(find_shapes(teacher, material.inputs(), role="teacher", where=where), shapes, where=where)
    return teacher.requires_grad_(requires_grad=False)


def read_teacher_outputs(material: Material, name: str, samples: TrainingSamples, *, shapes: Shapes) -> TeacherOutputs:
    """Return the teacher's scores of all training samples; the teacher runs only where they are not kept yet.

    Raises ToolchainError (exit 2) for a teacher of other outputs, or one that does not take the inputs.
    """
    ((output, row),) = shapes.items()

    def build(folder: Path) -> None:
        teacher = load_teacher(material, name, shapes=shapes)
        np.save(folder / _FILE, _compute_scores(material, teacher, samples, classes=row[0]), allow_pickle=False)

    folder = material.keep_teacher_outputs(name, {"data": samples.sha256}, build)
    kept = TeacherOutputs(output, np.load(folder / _FILE, mmap_mode="r"))
    _check_shapes({output: kept.both.shape[2:]}, shapes, where=f"{material.where}: teacher = {name!r}")
    return kept


def _check_shapes(teacher: Shapes, student: Shapes, *, where: str) -> None:
    if list(teacher.items()) != list(student.items()):
        raise usage(
            "the teacher has other outputs than the student",
            where=where,
            expected=_describe_shapes(student),
            found=_describe_shapes(teacher),
            fix="choose a teacher with the same outputs for the same classes",
        )


def _describe_shapes(shapes: Shapes) -> str:
    return ", ".join(f"{name} (N, {', '.join(map(str, shape))})" for name, shape in shapes.items())


def _compute_scores(
    material: Material, teacher: nn.Module, samples: TrainingSamples, *, classes: int
) -> NDArray[np.float32]:
    device = start_accelerator().device
    teacher = teacher.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # torch's stub
    both = np.empty((2, len(samples), classes), dtype=np.float32)
    advance = material.show_steps("teacher", len(samples))
    call = bind_inputs(teacher, list(samples.batch(0, 1)))
    with torch.inference_mode():
        for start in range(0, len(samples), _BATCH_SIZE):
            stop = min(start + _BATCH_SIZE, len(samples))
            arrays = samples.batch(start, stop)
            inputs = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
            mirrored = {name: tensor.flip(3) for name, tensor in inputs.items()} if are_pictures(arrays) else inputs
            for index, own in enumerate((inputs, mirrored)):
                both[index, start:stop] = _run(teacher, call, own)
            advance(stop - start)
    return both


def _run(teacher: nn.Module, call: Call, inputs: Mapping[str, Tensor]) -> NDArray[np.float32]:
    scores = next(iter(name_outputs(call.run(teacher, inputs)).values()))
    rows: NDArray[np.float32] = scores.float().cpu().numpy()
    return rows
