"""The training loop: SGD with Nesterov momentum and a one-cycle learning rate, on one or several processes."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from toolchain.data.dataset import TrainingSamples
from toolchain.errors import usage
from toolchain.module.fit.batches import Augmentation, Batch, draw_batches
from toolchain.module.fit.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from toolchain.module.fit.failure import check_trainable, explain_divergence, failures_explained
from toolchain.module.fit.narrow_maps import NarrowMapsInFloat32
from toolchain.module.fit.watch import Watch
from toolchain.module.forward import bind_inputs
from toolchain.tasks import Movement, check_targets

if TYPE_CHECKING:
    from toolchain.tasks import TaskLoss


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


Optimizer = Literal["sgd", "adamw"]
"""SGD with Nesterov momentum, or AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), which transformers need."""


@dataclass(frozen=True)
class FitSettings:
    """How to train."""

    epochs: int
    batch_size: int
    """Of all processes together."""
    learning_rate: float
    """The peak of the cycle."""
    weight_decay: float = 0.0
    optimizer: Optimizer = "sgd"
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
    learning_rate: float
    left_s: float
    """What the rest takes at the pace so far."""
    watched: float | None = None
    """The metric on what is held out, after the epoch before; None where nothing is watched."""


OnProgress = Callable[[Progress], None]


def learn(loss: TaskLoss) -> Loss:
    """Return the loss of a task, of a model that is run on a batch."""

    def learn_batch(model: nn.Module, batch: Batch) -> Tensor:
        return loss(batch.run(model), batch.targets)

    return learn_batch


def fit(
    model: nn.Module,
    samples: TrainingSamples,
    settings: FitSettings,
    *,
    accelerator: Accelerator,
    loss: Loss,
    targets: Sequence[str],
    hooks: Sequence[Hook] = (),
    checkpoint: Path | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
    identity: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    moves: Mapping[str, Movement] | None = None,
) -> None:
    """Train the model in place; an interrupted run that resumes ends at the same weights as one that was not.

    targets: the names of those that the loss reads; a loss that asks a teacher alone needs none.
    moves: which targets move with the places of a picture, and how; None where none does.
    watch: looks at the model before the first epoch and after each; the weights of the best are what the model ends with.
    identity: what a checkpoint depends on beside settings and data, such as the code of the model, as JSON types.

    Parameters without an axis, such as a learned range, are not decayed. A checkpoint is written after each epoch.
    What the model prints goes to stderr. Raises ToolchainError: when the loss or a weight is no number any more
    (exit 24; the last checkpoint stays); when nothing is to be trained, the model
    or its loss fails, or the checkpoint belongs to other settings, data or weights (exit 2).
    """
    check_trainable(model)
    check_targets(targets, samples, where="train.data")
    call = bind_inputs(model, list(samples.batch(0, 1)))
    steps = max(1, len(samples) // settings.batch_size)
    text = json.dumps({**asdict(settings), "data_sha256": samples.sha256, **(identity or {})}, sort_keys=True)
    model.to(memory_format=torch.channels_last)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if parameter.ndim > 0]},
        {"params": [parameter for parameter in parameters if parameter.ndim == 0], "weight_decay": 0.0},
    ]
    optimizer = _make_optimizer(groups, settings)
    schedule = OneCycleLR(optimizer, max_lr=settings.learning_rate, total_steps=settings.epochs * steps)
    state = Checkpoint(model=model, optimizer=optimizer, schedule=schedule, identity=text, watch=watch)
    epochs_done = load_checkpoint(checkpoint, state) if checkpoint is not None and resume else 0
    augmentation = Augmentation(crop_padding=settings.crop_padding, flip=settings.flip, moves=moves or {})
    attributes, infinite = set(vars(model)), _list_infinite(model)
    prepared, prepared_optimizer = accelerator.prepare(model, optimizer)

    if watch is not None and epochs_done == 0:
        watch.look(model, 0)
    tell = _report_to(on_progress if accelerator.is_main_process else None, settings, steps, epochs_done, watch)
    for epoch in range(epochs_done, settings.epochs):
        prepared.train()
        total = 0.0
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(sys.stderr):
            batches = draw_batches(
                samples,
                targets,
                batch_size=settings.batch_size,
                seed=[settings.seed, epoch],
                augmentation=augmentation,
                accelerator=accelerator,
                call=call,
            )
            for step, batch in enumerate(batches):
                for hook in hooks:
                    hook.before_step((epoch * steps + step) / (settings.epochs * steps))
                prepared_optimizer.zero_grad()
                with failures_explained(model, epoch=epoch + 1, step=step + 1, samples=len(batch.indices)):
                    mean = _compute_gradients(prepared, batch, loss, accelerator)
                if not np.isfinite(mean):
                    raise explain_divergence(epoch + 1, step + 1, str(mean), checkpoint)
                prepared_optimizer.step()
                with torch.no_grad():
                    for hook in hooks:
                        hook.after_step(float(schedule.get_last_lr()[0]))
                schedule.step()
                total += mean
                tell(epoch, step, total / (step + 1), float(schedule.get_last_lr()[0]))
        _average_buffers(model, accelerator)
        _end_epoch(epoch + 1, state, infinite, checkpoint, is_main=accelerator.is_main_process)
    accelerator.unwrap_model(prepared, keep_fp32_wrapper=False)
    accelerator.free_memory()
    for name in set(vars(model)) - attributes:  # what accelerate leaves on it
        delattr(model, name)
    if watch is not None:
        watch.restore(model)
    model.eval()


def _report_to(
    on_progress: OnProgress | None, settings: FitSettings, steps: int, epochs_done: int, watch: Watch | None
) -> Callable[[int, int, float, float], None]:
    """Return what is told of every step: its epoch and number, from 0, the mean loss and the learning rate."""
    started_s, before = time.monotonic(), epochs_done * steps

    def tell(epoch: int, step: int, loss: float, learning_rate: float) -> None:
        if on_progress is None:
            return
        done = epoch * steps + step + 1
        pace_s = (time.monotonic() - started_s) / (done - before)
        state = Progress(
            epoch=epoch + 1,
            epochs=settings.epochs,
            step=step + 1,
            steps=steps,
            loss=loss,
            learning_rate=learning_rate,
            left_s=pace_s * (settings.epochs * steps - done),
            watched=None if watch is None else watch.latest,
        )
        on_progress(state)

    return tell


def _make_optimizer(groups: list[dict[str, Any]], settings: FitSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        groups, lr=settings.learning_rate, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay
    )


def _end_epoch(epochs_done: int, state: Checkpoint, infinite: list[str], path: Path | None, *, is_main: bool) -> None:
    """Look at the model and write the checkpoint; refuse (exit 24) values that are not finite and were so before."""
    broken = [name for name in _list_infinite(state.model) if name not in infinite]
    if broken:
        raise explain_divergence(epochs_done, None, f"NaN or infinity in {broken[0]}", path)
    if state.watch is not None:
        state.watch.look(state.model, epochs_done)
    if path is not None and is_main:
        save_checkpoint(path, state, epochs_done=epochs_done)


def _compute_gradients(model: nn.Module, batch: Batch, loss: Loss, accelerator: Accelerator) -> float:
    """Leave the gradients of a batch in the model; return its loss, the mean of all processes', so that all stop together.

    Raises ToolchainError (exit 2) where nothing of the loss depends on what is to be trained.
    """
    with NarrowMapsInFloat32():
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


def _list_infinite(model: nn.Module) -> list[str]:
    """Return the parameters and buffers with values that are not finite, such as a mask of -inf."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return [name for name, tensor in tensors if not bool(torch.isfinite(tensor).all())]


def _average_buffers(model: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the mean of the batch-norm statistics, which each has seen only its share of."""
    if accelerator.num_processes == 1:
        return
    for buffer in model.buffers():
        if buffer.is_floating_point():
            buffer.copy_(accelerator.reduce(buffer, reduction="mean"))
