"""Shows how far a training is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolchain.module.fit.loop import OnProgress, Progress

if TYPE_CHECKING:
    from toolchain.run.progress import Advance
    from toolchain.run.progress import Progress as RunProgress


def show_training(progress: RunProgress) -> OnProgress:
    """Return what shows one bar an epoch, with the loss in the event log; of several trainings, one after the other."""
    advance: Advance

    def show(state: Progress) -> None:
        nonlocal advance
        if state.step == 1:
            advance = progress.steps(f"epoch {state.epoch}/{state.epochs}", state.steps)
        advance()
        if state.step == state.steps:
            progress.log("epoch", epoch=state.epoch, loss=round(state.loss, 4))

    return show
