"""The training loop: SGD with Nesterov momentum and a one-cycle learning rate, on one or several processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator, PartialState
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from toolchain.data.dataset import IMAGE_INPUT, TrainingSamples
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.train.augment import augment_images
from toolchain.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From the model, pictures `(N, C, H, W)` and labels `(N,)` to a scalar; a distillation loss asks its teacher too."""


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


def start_accelerator() -> Accelerator:
    """Return accelerate's view of the processes that train together, in bfloat16 where the hardware has it."""
    on_cpu = not torch.accelerator.is_available()
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="bf16" if _has_bfloat16(on_cpu=on_cpu) else "no")
    # `accelerate launch --cpu --num_processes N` starts one process and no second (1.15), unless mpirun is asked for:
    # it sets the address of the main process, and no number of processes.
    alone = "ACCELERATE_USE_CPU" in os.environ and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != launched or (accelerator.num_processes == 1 and alone):
        raise usage(
            "the processes would not train together",
            where="environment: WORLD_SIZE",
            expected="several processes" if alone else f"{launched} processes",
            found=str(accelerator.num_processes),
            fix="start with: torchrun --nproc_per_node N -m toolchain train MODEL, or accelerate launch --multi_gpu "
            "--num_processes N -m toolchain train MODEL; both train on CPUs too",
        )
    return accelerator


def stop_accelerator() -> None:
    """Part from the other processes; to be called when a process has done all its training, well or not.

    A process that exits in the group may be aborted: gloo's threads then run into the end of the interpreter.
    """
    PartialState().destroy_process_group()


def cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """Return the loss of a classifier."""

    def loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model(images), labels, label_smoothing=label_smoothing)

    return loss


def fit(
    model: nn.Module,
    samples: TrainingSamples,
    settings: FitSettings,
    *,
    accelerator: Accelerator,
    loss: Loss,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_progress: OnProgress | None = None,
) -> None:
    """Train the model in place; an interrupted run that resumes ends at the same weights as one that was not.

    A checkpoint is written after each epoch. Raises ToolchainError when the loss is no number any more (exit 24;
    the last checkpoint stays), or when the checkpoint belongs to other settings, data or weights (exit 2).
    """
    steps = max(1, len(samples) // settings.batch_size)
    identity = json.dumps({**asdict(settings), "data_sha256": samples.sha256}, sort_keys=True)
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(),
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
            for step, (images, labels) in enumerate(_draw_batches(samples, settings, epoch, accelerator)):
                prepared_optimizer.zero_grad()
                value = loss(prepared, images, labels)
                # Every process sees the mean, so that all stop together.
                mean = float(accelerator.reduce(value.detach(), reduction="mean"))
                if not np.isfinite(mean):
                    raise _explain_divergence(epoch + 1, step + 1, mean, checkpoint)
                accelerator.backward(value)
                prepared_optimizer.step()
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


def _has_bfloat16(*, on_cpu: bool) -> bool:
    """Return whether bfloat16 is fast here: without these instructions it is slower than float32."""
    if not on_cpu:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    features = torch.cpu.get_capabilities()
    return any(features.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _draw_batches(
    samples: TrainingSamples, settings: FitSettings, epoch: int, accelerator: Accelerator
) -> Iterator[tuple[Tensor, Tensor]]:
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
        images = torch.from_numpy(samples.take(mine)[IMAGE_INPUT])
        images = augment_images(
            images, crop_padding=settings.crop_padding, flip=settings.flip, generator=generator
        ).contiguous(memory_format=torch.channels_last)
        yield images.to(accelerator.device), torch.from_numpy(labels[mine]).to(accelerator.device)


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
        fix="lower train.learning_rate in the recipe and train with --fresh",
    )
