"""What to tell a user whose model does not train: the place, the reason, the fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from toolchain.errors import ExitCode, ToolchainError, first_line, usage
from toolchain.module.builder_failure import describe
from toolchain.module.export_failure import find_failing_module


@contextmanager
def failures_explained(model: nn.Module, *, epoch: int, step: int, samples: int) -> Iterator[None]:
    """Make a usage error (exit 2) of whatever the user's module raises in a step of a training."""
    try:
        yield
    except (ToolchainError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise _explain_step(model, error, epoch=epoch, step=step, samples=samples) from error


def _explain_step(model: nn.Module, error: BaseException, *, epoch: int, step: int, samples: int) -> ToolchainError:
    text = first_line(error)
    fix = "check that the module runs in training mode, on a whole batch, and that its first output is (N, classes)"
    if "more than 1 value per channel" in text:
        fix = "train with a batch_size of at least 2 in each process: batch normalization has no variance of one sample"
    elif isinstance(error, MemoryError) or "memory" in text.lower():
        fix = "train with a smaller batch_size"
    place = find_failing_module(model, error)
    return usage(
        "the model fails in training",
        where=f"epoch {epoch}, step {step}, {samples} samples" + (f", module {place}" if place else ""),
        found=describe(error),
        fix=fix,
    )


def check_trainable(model: nn.Module) -> None:
    """Refuse (exit 2) a model in which a training would change nothing."""
    parameters = list(model.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        raise usage(
            "there is nothing to train in the model",
            where="model.build",
            expected="at least one parameter with requires_grad",
            found=f"{len(parameters)} parameters, all frozen" if parameters else "a model without parameters",
            fix="unfreeze what is to be learned in the function that builds the model, or leave the training out",
        )


def explain_divergence(epoch: int, step: int | None, found: str, checkpoint: Path | None) -> ToolchainError:
    """Return the error (exit 24) for a loss, or weights, that are no numbers any more."""
    kept = checkpoint is not None and checkpoint.is_file()
    return ToolchainError(
        ExitCode.METRIC,
        "the training diverged",
        where=(f"epoch {epoch}" if step is None else f"epoch {epoch}, step {step}")
        + (f" (the checkpoint before it stays in {checkpoint})" if kept else ""),
        expected="a finite loss" if step is not None else "finite weights",
        found=found,
        fix="lower the learning_rate in the recipe; `toolchain train` then starts anew with --fresh",
    )
