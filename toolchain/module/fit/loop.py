"""The training loop: SGD with Nesterov momentum and a one-cycle learning rate, on one or several processes."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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

from toolchain.data.dataset import IMAGE_INPUT, TrainingSamples, are_pictures, find_labels
from toolchain.data.labels import check_labels
from toolchain.errors import usage
from toolchain.module.fit.augment import augment_images
from toolchain.module.fit.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from toolchain.module.fit.failure import check_trainable, explain_divergence, failures_explained
from toolchain.module.forward import Call, bind_inputs, take_main_output


@dataclass(frozen=True)
class Batch:
    """What one process sees in one step."""

    inputs: Mapping[str, Tensor]
    """One tensor per input, in the order of forward; pictures are augmented, `(N, C, H, W)`."""
    labels: Tensor
    """`(N,)`."""
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

    def run(self, model: nn.Module) -> Tensor:
        """Return the model's first output for the batch."""
        positional = [tensor for name, tensor in self.inputs.items() if name not in self.by_name]
        return take_main_output(model(*positional, **{name: self.inputs[name] for name in self.by_name}))


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
    """Return the loss of a classifier; of several outputs, the first is the scores `(N, classes)`."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(batch.run(model), batch.labels, label_smoothing=label_smoothing)

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
    identity: Mapping[str, Any] | None = None,
) -> None:
    """Train the model in place; an interrupted run that resumes ends at the same weights as one that was not.

    identity: what a checkpoint depends on beside settings and data, such as the code of the model, as JSON types.

    Parameters without an axis, such as a learned range, are not decayed. A checkpoint is written after each epoch.
    What the model prints goes to stderr. Raises ToolchainError: when the loss or a weight is no number any more
    (exit 24; the last checkpoint stays); when nothing is to be trained, a label is none of the model's outputs, the
    model fails, or the checkpoint belongs to other settings, data or weights (exit 2).
    """
    check_trainable(model)
    call = bind_inputs(model, list(samples.batch(0, 1)))
    _check_scores(model, samples, call)
    steps = max(1, len(samples) // settings.batch_size)
    text = json.dumps({**asdict(settings), "data_sha256": samples.sha256, **(identity or {})}, sort_keys=True)
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
    state = Checkpoint(model=model, optimizer=optimizer, schedule=schedule, identity=text)
    epochs_done = load_checkpoint(checkpoint, state) if checkpoint is not None and resume else 0
    attributes, infinite = set(vars(model)), _list_infinite(model)
    prepared, prepared_optimizer = accelerator.prepare(model, optimizer)

    for epoch in range(epochs_done, settings.epochs):
        prepared.train()
        total = 0.0
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(sys.stderr):
            for step, batch in enumerate(_draw_batches(samples, settings, epoch, accelerator, call)):
                for hook in hooks:
                    hook.before_step((epoch * steps + step) / (settings.epochs * steps))
                prepared_optimizer.zero_grad()
                with failures_explained(model, epoch=epoch + 1, step=step + 1, samples=len(batch.labels)):
                    mean = _compute_gradients(prepared, batch, loss, accelerator)
                if not np.isfinite(mean):
                    raise explain_divergence(epoch + 1, step + 1, str(mean), checkpoint)
                prepared_optimizer.step()
                with torch.no_grad():
                    for hook in hooks:
                        hook.after_step(float(schedule.get_last_lr()[0]))
                schedule.step()
                total += mean
                if on_progress is not None and accelerator.is_main_process:
                    on_progress(Progress(epoch + 1, settings.epochs, step + 1, steps, total / (step + 1)))
        _average_buffers(model, accelerator)
        _end_epoch(epoch + 1, state, infinite, checkpoint, is_main=accelerator.is_main_process)
    accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    accelerator.free_memory()
    for name in set(vars(model)) - attributes:  # what accelerate leaves on it
        delattr(model, name)
    model.eval()


def _end_epoch(epochs_done: int, state: Checkpoint, infinite: list[str], path: Path | None, *, is_main: bool) -> None:
    """Write the checkpoint; refuse (exit 24) values that are not finite and were so before."""
    broken = [name for name in _list_infinite(state.model) if name not in infinite]
    if broken:
        raise explain_divergence(epochs_done, None, f"NaN or infinity in {broken[0]}", path)
    if path is not None and is_main:
        save_checkpoint(path, state, epochs_done=epochs_done)


def _compute_gradients(model: nn.Module, batch: Batch, loss: Loss, accelerator: Accelerator) -> float:
    """Leave the gradients of a batch in the model; return its loss, the mean of all processes', so that all stop together.

    Raises ToolchainError (exit 2) where nothing of the loss depends on what is to be trained.
    """
    value = loss(model, batch)
    if not value.requires_grad:
        raise usage(
            "the loss does not depend on anything that is to be trained",
            where="model.build: the first output",
            expected="an output with gradients",
            found="one without",
            fix="remove torch.no_grad and detach from forward, or unfreeze what leads to its first output",
        )
    mean = float(accelerator.reduce(value.detach(), reduction="mean"))
    if np.isfinite(mean):
        accelerator.backward(value)
    return mean


def _check_scores(model: nn.Module, samples: TrainingSamples, call: Call) -> None:
    """Refuse labels that are none of the model's outputs, where it returns scores `(N, classes)`."""
    if find_labels(samples) is None:
        raise usage("the data has no labels to learn from", where="train.data", fix="name a data set with labels")
    inputs = {name: torch.from_numpy(array) for name, array in samples.batch(0, 1).items()}
    device = next(model.parameters()).device
    model.eval()
    with failures_explained(model, epoch=0, step=0, samples=1), torch.no_grad(), contextlib.redirect_stdout(sys.stderr):
        scores = take_main_output(call.run(model, {name: tensor.to(device) for name, tensor in inputs.items()}))
    if scores.ndim == 2:
        check_labels(samples, outputs=scores.shape[1], where="the labels of the training data")


def _draw_batches(
    samples: TrainingSamples, settings: FitSettings, epoch: int, accelerator: Accelerator, call: Call
) -> Iterator[Batch]:
    """Yield this process's share of each batch of an epoch: the same order for any number of processes."""
    labels = find_labels(samples)
    if labels is None:
        return  # _check_scores has refused it
    rank, count = accelerator.process_index, accelerator.num_processes
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(samples))
    generator = torch.Generator().manual_seed(_derive_seed(settings.seed, epoch, rank))
    torch.manual_seed(_derive_seed(settings.seed, epoch, rank))  # for dropout
    # The last, incomplete batch is left out; every epoch leaves out other samples.
    for start in range(0, max(1, len(samples) - settings.batch_size + 1), settings.batch_size):
        mine: NDArray[np.int64] = order[start : start + settings.batch_size][rank::count]
        arrays = samples.take(mine)
        inputs = {name: torch.from_numpy(arrays[name]) for name in call.names}
        mirrored = torch.zeros(len(mine), dtype=torch.bool)
        if are_pictures(arrays):
            images, mirrored = augment_images(
                inputs[IMAGE_INPUT], crop_padding=settings.crop_padding, flip=settings.flip, generator=generator
            )
            inputs[IMAGE_INPUT] = images.contiguous(memory_format=torch.channels_last)
        yield Batch(
            inputs={name: tensor.to(accelerator.device) for name, tensor in inputs.items()},
            labels=torch.from_numpy(labels[mine]).to(accelerator.device),
            indices=mine,
            mirrored=mirrored,
            by_name=call.by_name,
        )


def _list_infinite(model: nn.Module) -> list[str]:
    """Return the parameters and buffers with values that are not finite, such as a mask of -inf."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return [name for name, tensor in tensors if not bool(torch.isfinite(tensor).all())]


def _derive_seed(seed: int, epoch: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0] >> 1)


def _average_buffers(model: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the mean of the batch-norm statistics, which each has seen only its share of."""
    if accelerator.num_processes == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.copy_(accelerator.reduce(buffer, reduction="mean"))
