"""The batches of an epoch, as one process sees them: inputs, targets, and what the augmentation did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from toolchain.agent.measure.targets import Ragged, TargetArray, take_target_rows
from toolchain.data.dataset import IMAGE_INPUT, Samples, TrainingSamples, are_pictures
from toolchain.module.fit.augment import augment_images
from toolchain.module.fit.move_targets import move_targets
from toolchain.module.forward import Call, name_outputs
from toolchain.tasks import Movement
from toolchain.tasks.itself import INPUT

if TYPE_CHECKING:
    from toolchain.tasks import TargetTensor


@dataclass(frozen=True)
class Batch:
    """What one process sees in one step."""

    inputs: Mapping[str, Tensor]
    """One tensor per input, in the order of forward; pictures are augmented, `(N, C, H, W)`."""
    targets: Mapping[str, TargetTensor]
    """What the task learns from, by name: `(N, …)`, or a tensor a sample where each has another number of rows."""
    indices: NDArray[np.int64]
    """Where each sample lies in the training set, `(N,)`: for what is kept by sample, such as a teacher's logits."""
    mirrored: Tensor
    """Whether the augmentation mirrored it, bool `(N,)`."""
    by_name: tuple[str, ...] = ()
    """The inputs that forward takes by name alone."""

    @property
    def images(self) -> Tensor:
        """The first input: the pictures, in a set of pictures."""
        return next(iter(self.inputs.values()))

    def call(self, model: nn.Module) -> Any:
        """Return what the model returns for the batch."""
        positional = [tensor for name, tensor in self.inputs.items() if name not in self.by_name]
        return model(*positional, **{name: self.inputs[name] for name in self.by_name})

    def run(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the model's outputs for the batch, by name."""
        return name_outputs(self.call(model))


@dataclass(frozen=True)
class Augmentation:
    """What is done to every picture anew in each epoch; to nothing else."""

    crop_padding: int = 0
    """Pixels on each side that a random crop may move by."""
    flip: bool = False
    moves: Mapping[str, Movement] = field(default_factory=dict)
    """The targets that move with a picture, and how (move_targets.py)."""


def draw_batches(
    samples: TrainingSamples,
    targets: Sequence[str],
    *,
    batch_size: int,
    seed: Sequence[int],
    augmentation: Augmentation,
    accelerator: Accelerator,
    call: Call,
) -> Iterator[Batch]:
    """Yield this process's share of each batch of an epoch: the same order for any number of processes.

    targets: the names of those that are drawn. seed: of the run and the epoch. The last, incomplete batch is left out;
    every epoch leaves out other samples.
    """
    rank, count = accelerator.process_index, accelerator.num_processes
    order = np.random.default_rng(seed).permutation(len(samples))
    generator = torch.Generator().manual_seed(_derive_seed(*seed, rank))
    torch.manual_seed(_derive_seed(*seed, rank))  # for dropout
    for start in range(0, max(1, len(samples) - batch_size + 1), batch_size):
        mine: NDArray[np.int64] = order[start : start + batch_size][rank::count]
        arrays = samples.take(mine)
        inputs = {name: torch.from_numpy(arrays[name]) for name in call.names}
        mirrored = torch.zeros(len(mine), dtype=torch.bool)
        drawn = take_target_tensors(samples, targets, mine, inputs, device=accelerator.device)
        if are_pictures(arrays):
            images, moves = augment_images(
                inputs[IMAGE_INPUT],
                crop_padding=augmentation.crop_padding,
                flip=augmentation.flip,
                generator=generator,
            )
            inputs[IMAGE_INPUT], mirrored = images.contiguous(memory_format=torch.channels_last), moves.mirrored
            drawn = move_targets(drawn, augmentation.moves, moves, size=(images.shape[2], images.shape[3]))
        yield Batch(
            inputs={name: tensor.to(accelerator.device) for name, tensor in inputs.items()},
            targets=drawn,
            indices=mine,
            mirrored=mirrored,
            by_name=call.by_name,
        )


def take_target_tensors(
    samples: Samples,
    names: Sequence[str],
    indices: NDArray[np.int64],
    inputs: Mapping[str, Tensor],
    *,
    device: torch.device,
) -> dict[str, TargetTensor]:
    """Return the targets of the samples at these indices, as losses take them; inputs: of the same samples."""
    return {
        name: next(iter(inputs.values())).to(device)
        if name == INPUT
        else _make_tensor(take_target_rows(samples.targets[name], indices), device)
        for name in names
    }


def _make_tensor(target: TargetArray, device: torch.device) -> TargetTensor:
    if isinstance(target, Ragged):
        return [torch.from_numpy(np.array(target.read(index))).to(device) for index in range(len(target))]
    return torch.from_numpy(np.ascontiguousarray(target)).to(device)


def _derive_seed(*seeds: int) -> int:
    return int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> 1)
