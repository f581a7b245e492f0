"""A teacher's logits for every training picture, computed once and shared by all students that learn from it."""

from __future__ import annotations

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

_BATCH_SIZE = 256  # larger ones are not faster on a CPU
_FILE = "logits.npy"


@dataclass(frozen=True)
class TeacherLogits:
    """What a teacher says of every training picture `(2, N, classes)`: as it is, and mirrored."""

    both: NDArray[np.float32]

    def pick(self, batch: Batch) -> Tensor:
        """Return the logits of a batch `(n, classes)`; by how much the crop has shifted a picture plays no part."""
        mirrored = batch.mirrored.cpu().numpy().astype(np.int64)
        return torch.from_numpy(self.both[mirrored, batch.indices]).to(batch.images.device)


def run_on_example(model: nn.Module, inputs: Inputs, *, role: str, where: str) -> Tensor:
    """Return the model's logits `(n, classes)` in evaluation mode.

    Raises ToolchainError (exit 2) for a model that does not take these pictures, or returns something else.
    """
    try:
        outputs = run_model(model, inputs)
    except ToolchainError as error:
        raise usage(
            f"the {role} does not take the pictures of this recipe",
            where=where,
            expected=f"a model for {describe_inputs(inputs)}",
            found=error.found,
            fix=f"choose a {role} for this data",
        ) from error
    logits = next(iter(outputs.values()))
    if len(inputs) != 1 or len(outputs) != 1 or logits.ndim != 2:
        found = f"{len(inputs)} inputs, and " + ", ".join(
            f"{name} {tuple(tensor.shape)}" for name, tensor in outputs.items()
        )
        raise usage(
            f"the {role} is no classifier",
            where=where,
            expected="one input, and one output (N, classes)",
            found=found,
            fix="distill a model that returns logits from one that does",
        )
    return logits


def check_classes(teacher: int, student: int, *, where: str) -> None:
    """Refuse (exit 2) a teacher of other classes than the student's."""
    if teacher != student:
        raise usage(
            "the teacher has other classes than the student",
            where=where,
            expected=f"{student} logits, as the student has",
            found=str(teacher),
            fix="choose a teacher that was trained on the same classes",
        )


def load_teacher(material: Material, name: str, *, classes: int) -> nn.Module:
    """Return a teacher that fits the data and so many classes; raises ToolchainError (exit 2) where it does not."""
    teacher = material.load_teacher(name)
    where = f"{material.where}: teacher = {name!r}"
    logits = run_on_example(teacher, material.inputs(), role="teacher", where=where)
    check_classes(logits.shape[1], classes, where=where)
    return teacher.requires_grad_(requires_grad=False)


def read_teacher_logits(material: Material, name: str, samples: TrainingSamples, *, classes: int) -> TeacherLogits:
    """Return the teacher's logits of all training pictures; the teacher runs only where they are not kept yet.

    Raises ToolchainError (exit 2) for a teacher of other classes, or one that does not take the pictures.
    """

    def build(folder: Path) -> None:
        teacher = load_teacher(material, name, classes=classes)
        np.save(folder / _FILE, _compute_logits(material, teacher, samples, classes=classes), allow_pickle=False)

    folder = material.keep_teacher_outputs(name, {"data": samples.sha256}, build)
    logits = TeacherLogits(np.load(folder / _FILE, mmap_mode="r"))
    check_classes(logits.both.shape[2], classes, where=f"{material.where}: teacher = {name!r}")
    return logits


def _compute_logits(
    material: Material, teacher: nn.Module, samples: TrainingSamples, *, classes: int
) -> NDArray[np.float32]:
    device = start_accelerator().device
    teacher = teacher.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # torch's stub
    both = np.empty((2, len(samples), classes), dtype=np.float32)
    advance = material.show_steps("teacher", len(samples))
    with torch.inference_mode():
        for start in range(0, len(samples), _BATCH_SIZE):
            stop = min(start + _BATCH_SIZE, len(samples))
            arrays = samples.batch(start, stop)
            pictures = torch.from_numpy(next(iter(arrays.values()))).to(device)
            for index, images in enumerate((pictures, pictures.flip(3) if are_pictures(arrays) else pictures)):
                both[index, start:stop] = teacher(images).float().cpu().numpy()
            advance(stop - start)
    return both
