"""The training loop: SGD with Nesterov momentum and a one-cycle learning rate, on one or several processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from toolchain.data.dataset import IMAGE_INPUT, TrainingSamples
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.fit.augment import augment_images
from toolchain.fit.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Batch:
    """What one process sees in one step."""

    images: Tensor
    """Augmented, `(N, C, H, W)`."""
    labels: Tensor
    """`(N,)`."""
    indices: NDArray[np.int64]
    """Where each picture lies in the training set, `(N,)`: for what is kept by picture, such as a teacher's logits."""
    mirrored: Tensor
    """Whether the augmentation mirrored it, bool `(N,)`."""


Loss = Callable[[nn.Module, Batch], Tensor]
"""From the model and a batch to a scalar; a distillation loss asks its teacher too."""


class Hook:
    """What a compression method does between the steps; a subclass does one or both.

    It keeps no state of its own that the model does not show: a resumed training makes its hooks anew.
    """

    def before_step(self, done: float) -> None:
        """Act before a step; done is the share of the training that lies behind, from 0 to below 1."""

    def after_step(self, learning_rate: float) -> None:
        """Act on the weights that the optimizer has just changed with this learning rate."""


@dataclass(frozen=True)
class FitSettings:
    """How to train."""

    epochs: int
    batch_size: int
    """Of all processes together."""
    learning_rate: float
    """The peak of the cycle."""
    weight_decay: float = 0.0
    seed: int = 0
    crop_padding: int = 2
    """Pixels on each side that a random crop may move by."""
    flip: bool = True


@dataclass(frozen=True)
class Progress:
    """Where the training is: after each step."""

    epoch: int
    """From 1."""
    epochs: int
    step: int
    """From 1, within the epoch."""
    steps: int
    loss: float
    """The mean over the epoch so far."""


OnProgress = Callable[[Progress], None]


def cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """Return the loss of a classifier."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch.images), batch.labels, label_smoothing=label_smoothing)

    return loss


def fit(
    model: nn.Module,
    samples: TrainingSamples,
    settings: FitSettings,
    *,
    accelerator: Accelerator,
    loss: Loss,
    hooks: Sequence[Hook] = (),
    checkpoint: Path | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
) -> None:
    """Train the model in place; an interrupted run that resumes ends at the same weights as one that was not.

    Parameters without an axis, such as a learned range, are not decayed. A checkpoint is written after each epoch.
    Raises ToolchainError when the loss is no number any more (exit 24; the last checkpoint stays), or when the
    checkpoint belongs to other settings, data or weights (exit 2).
    """
    steps = max(1, len(samples) // settings.batch_size)
    identity = json.dumps({**asdict(settings), "data_sha256": samples.sha256}, sort_keys=True)
    model.to(memory_format=torch.channels_last)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 0]},
        {"params": [parameter for parameter in parameters if parameter.ndim == 0], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(
        groups,
        lr=settings.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=settings.weight_decay,
    )
    schedule = OneCycleLR(optimizer, max_lr=settings.learning_rate, total_steps=settings.epochs * steps)
    state = Checkpoint(model=model, optimizer=optimizer, schedule=schedule, identity=identity)
    epochs_done = load_checkpoint(checkpoint, state) if checkpoint is not None and resume else 0
    attributes = set(vars(model))
    prepared, prepared_optimizer = accelerator.prepare(model, optimizer)

    for epoch in range(epochs_done, settings.epochs):
        prepared.train()
        total = 0.0
        with torch.random.fork_rng(devices=[]):
            for step, batch in enumerate(_draw_batches(samples, settings, epoch, accelerator)):
                for hook in hooks:
                    hook.before_step((epoch * steps + step) / (settings.epochs * steps))
                prepared_optimizer.zero_grad()
                value = loss(prepared, batch)
                # Every process sees the mean, so that all stop together.
                mean = float(accelerator.reduce(value.detach(), reduction="mean"))
                if not np.isfinite(mean):
                    raise _explain_divergence(epoch + 1, step + 1, mean, checkpoint)
                accelerator.backward(value)
                prepared_optimizer.step()
                with torch.no_grad():
                    for hook in hooks:
                        hook.after_step(float(schedule.get_last_lr()[0]))
                schedule.step()
                total += mean
                if on_progress is not None and accelerator.is_main_process:
                    on_progress(Progress(epoch + 1, settings.epochs, step + 1, steps, total / (step + 1)))
        _average_buffers(model, accelerator)
        if checkpoint is not None and accelerator.is_main_process:
            save_checkpoint(checkpoint, state, epochs_done=epoch + 1)
    accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    accelerator.free_memory()
    for name in set(vars(model)) - attributes:  # what accelerate leaves on it
        delattr(model, name)
    model.eval()


def _draw_batches(
    samples: TrainingSamples, settings: FitSettings, epoch: int, accelerator: Accelerator
) -> Iterator[Batch]:
    """Yield this process's share of each batch of an epoch: the same order for any number of processes."""
    labels = samples.labels
    if labels is None:
        raise usage("the data has no labels to learn from", where="train.data", fix="name a data set with labels")
    rank, count = accelerator.process_index, accelerator.num_processes
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(samples))
    generator = torch.Generator().manual_seed(_derive_seed(settings.seed, epoch, rank))
    torch.manual_seed(_derive_seed(settings.seed, epoch, rank))  # for dropout
    # The last, incomplete batch is left out; every epoch leaves out other samples.
    for start in range(0, max(1, len(samples) - settings.batch_size + 1), settings.batch_size):
        mine: NDArray[np.int64] = order[start : start + settings.batch_size][rank::count]
        images, mirrored = augment_images(
            torch.from_numpy(samples.take(mine)[IMAGE_INPUT]),
            crop_padding=settings.crop_padding,
            flip=settings.flip,
            generator=generator,
        )
        yield Batch(
            images=images.contiguous(memory_format=torch.channels_last).to(accelerator.device),
            labels=torch.from_numpy(labels[mine]).to(accelerator.device),
            indices=mine,
            mirrored=mirrored,
        )


def _derive_seed(seed: int, epoch: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0] >> 1)


def _average_buffers(model: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the mean of the batch-norm statistics, which each has seen only its share of."""
    if accelerator.num_processes == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.copy_(accelerator.reduce(buffer, reduction="mean"))


def _explain_divergence(epoch: int, step: int, loss: float, checkpoint: Path | None) -> ToolchainError:
    kept = checkpoint is not None and checkpoint.is_file()
    return ToolchainError(
        ExitCode.METRIC,
        "the training diverged",
        where=f"epoch {epoch}, step {step}" + (f" (the checkpoint before it stays in {checkpoint})" if kept else ""),
        expected="a finite loss",
        found=str(loss),
        fix="lower the learning_rate in the recipe; `toolchain train` then starts anew with --fresh",
    )
