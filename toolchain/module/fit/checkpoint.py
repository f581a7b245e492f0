"""The state of a training between two epochs, on disk."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from toolchain.errors import malformed, usage
from toolchain.module.fit.watch import Watch
from toolchain.run.atomic import write_atomically


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds; loading one changes the three objects in place."""

    model: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler
    identity: str
    """Settings, data and the model's code: a checkpoint of others is refused."""
    watch: Watch | None = None


def save_checkpoint(path: Path, state: Checkpoint, *, epochs_done: int) -> None:
    """Write a checkpoint; raises ToolchainError (exit 14) when the disk is full or not writable."""
    buffer = io.BytesIO()
    torch.save(
        {
            "identity": state.identity,
            "epochs_done": epochs_done,
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "schedule": state.schedule.state_dict(),
            "watch": None if state.watch is None else state.watch.state_dict(),
        },
        buffer,
    )
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, state: Checkpoint) -> int:
    """Return the number of epochs that the checkpoint has behind it, 0 where there is no checkpoint.

    Raises ToolchainError: the checkpoint is of another training (exit 2) or corrupt (exit 23).
    """
    if not path.is_file():
        return 0
    try:
        # weights_only: tensors and plain types, no code of the pickle runs.
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["identity"] != state.identity:
            raise usage(
                "the checkpoint is of a training with other settings, data or code of the model",
                where=str(path),
                expected=state.identity,
                found=content["identity"],
                fix="undo the change to go on with it, or start anew with --fresh",
            )
        state.model.load_state_dict(content["model"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.schedule.load_state_dict(content["schedule"])
        if state.watch is not None:
            state.watch.load_state_dict(content["watch"])
        return int(content["epochs_done"])
    # What torch.load and load_state_dict raise for broken files; OSError: an offset outside of the file.
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, OSError) as error:
        raise malformed(
            "the checkpoint is corrupt or of another model",
            where=str(path),
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix="start anew with --fresh",
        ) from error
