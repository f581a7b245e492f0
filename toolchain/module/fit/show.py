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
            advance = progress.steps(_describe(state), state.steps)
        advance()
        if state.step == state.steps:
            progress.log("epoch", epoch=state.epoch, loss=round(state.loss, 4), learning_rate=state.learning_rate)

    return show


def _describe(state: Progress) -> str:
    """Return what the bar of an epoch says: where it stands as the epoch begins."""
    minutes, seconds = divmod(round(state.left_s), 60)
    watched = "" if state.watched is None else f", held out {state.watched:.4g}"
    return (
        f"epoch {state.epoch}/{state.epochs} (loss {state.loss:.3g}{watched}, "
        f"learning rate {state.learning_rate:.2g}, {minutes}:{seconds:02} left)"
    )
