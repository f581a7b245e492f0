"""The trials of a search in a storage that workers share: begun, ended, counted; and those that were killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from toolchain.deploy.local import LocalTransport
from toolchain.errors import ExitCode, ToolchainError, first_line, is_storage_error, usage
from toolchain.project.recipe import SearchSection
from toolchain.run.atomic import write_atomically
from toolchain.search.objectives import Direction

_RECORD = "record"


class Study:
    """The trials of one search, and the folder that this machine's workers keep their results in."""

    def __init__(
        self, *, name: str, storage: str, out: Path, directions: Sequence[Direction], section: SearchSection
    ) -> None:
        """Open the search, or begin it.

        Args:
            name: Says which recipe, target and space it is: another one is another search.
            storage: A URL that SQLAlchemy takes, or the path of a journal file.
            out: The results.
            directions: "maximize" or "minimize", for each value of a trial.
            section: How to draw.

        Raises ToolchainError (exit 2): the folder holds another search, the storage cannot be opened.
        """
        self._out = out
        self._section = section
        self._lock = FileLock(out / "search.lock")
        out.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # what there is to say stands in trials.json
        with self._lock:
            self._claim_folder(name)
            self._study = _open_study(name, storage, directions)

    @contextmanager
    def next_trial(self, trials: int) -> Iterator[tuple[Trial, LocalTransport] | None]:
        """Begin a trial and take its folder for the block; give None where there are enough of them.

        Trials that were killed are ended first, and do not count; those that run now do. A block that raises leaves a
        trial that does not count.
        """
        with ExitStack() as stack:
            begun = self._begin_trial(trials, stack)
            if begun is None:
                yield None
                return
            try:
                yield begun
            except BaseException:
                with self._lock:
                    self._interrupt(begun[0].number)
                raise

    def _begin_trial(self, trials: int, stack: ExitStack) -> tuple[Trial, LocalTransport] | None:
        with self._lock:
            running = self._end_killed()
            finished = sum(is_finished(trial) for trial in self._study.get_trials(deepcopy=False))
            if finished + running >= trials:
                return None
            self._study.sampler = self._make_sampler()
            trial = self._study.ask()
            # Under the lock, so that whoever sees the folder sees it taken.
            return trial, stack.enter_context(LocalTransport(self._find_folder(trial.number)))

    def end_trial(self, trial: Trial, record: Mapping[str, Any], values: Sequence[float] | None) -> None:
        """Keep what came out of a trial; values: what it is judged by, where it was complete."""
        unfinished = TrialState.FAIL if record["state"] == "failed" else TrialState.PRUNED
        with self._lock:
            trial.set_user_attr(_RECORD, dict(record))
            self._study.tell(trial, values=values, state=unfinished if values is None else TrialState.COMPLETE)

    def set_excess(self, trial: Trial, excess: float) -> None:
        """Say by how much the metric fell under the gate: samplers look for trials where that is not above 0."""
        trial.set_constraint("metric_drop", excess)

    def list_records(self) -> list[dict[str, Any]]:
        """Return what came out of each trial, in the order in which they began, without those that were killed."""
        trials = self._study.get_trials(deepcopy=False, states=_ENDED)
        return [dict(trial.user_attrs[_RECORD]) for trial in trials if is_finished(trial)]

    def locked(self) -> FileLock:
        """Return the lock of the folder's common files."""
        return self._lock

    def _claim_folder(self, name: str) -> None:
        path = self._out / "search.name"
        found = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else name
        if found != name:
            raise usage(
                "the folder holds another search: the recipe, its [search], its weights or the target have changed",
                where=str(self._out),
                expected=name,
                found=found,
                fix="choose another folder with --out, or undo the change to go on with that search",
            )
        write_atomically(path, f"{name}\n".encode())

    def _find_folder(self, number: int) -> Path:
        return self._out / "trials" / f"{number:04d}"

    def _end_killed(self) -> int:
        """End the trials whose worker is gone and return how many of this folder run."""
        running = 0
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            folder = self._find_folder(trial.number)
            if not folder.is_dir():
                continue  # of a worker with another folder: whether it lives cannot be seen from here
            try:
                with LocalTransport(folder):
                    self._interrupt(trial.number)
                    shutil.rmtree(folder)
            except ToolchainError as error:
                if error.code != ExitCode.BUSY:
                    raise
                running += 1
        return running

    def _interrupt(self, number: int) -> None:
        # Without a record it does not count; what has one came to its end before.
        self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _make_sampler(self) -> optuna.samplers.BaseSampler:
        """Return a sampler for the next trial: one with the same seed would draw the first one again."""
        count = len(self._study.get_trials(deepcopy=False))
        seed = int(np.random.SeedSequence([self._section.seed, count]).generate_state(1)[0])
        if self._section.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        if self._section.sampler == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed, multivariate=False)


_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def is_finished(trial: FrozenTrial) -> bool:
    """Return whether a trial came to an end of its own: one that was killed did not."""
    return trial.state in _ENDED and _RECORD in trial.user_attrs


def _open_study(name: str, storage: str, directions: Sequence[Direction]) -> optuna.Study:
    """Return the study in a storage, of which all is read that it holds by now."""
    try:
        place = _open_storage(storage)
        study = optuna.create_study(study_name=name, storage=place, directions=list(directions), load_if_exists=True)
        study.get_trials(deepcopy=False)
    # What optuna raises for a line that it did not write. OSError: a folder, or a file that may not be read.
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, OSError) as error:
        if isinstance(error, OSError) and is_storage_error(error):
            raise
        raise usage(
            "the storage of the search cannot be read",
            where=storage,
            expected="what earlier searches have written there, or nothing",
            found=f"{type(error).__name__}: {first_line(error)[:200]}",
            fix="choose another folder with --out, or another --storage",
        ) from error
    return study


def _open_storage(storage: str) -> BaseStorage:
    if "://" not in storage:
        path = Path(storage)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # to read a pipe is to wait
            raise usage(
                "the storage of the search is no file",
                where=storage,
                expected="the path of a journal file, which need not be there yet",
                found="a folder, a pipe or a device",
                fix="give another path with --storage",
            )
        return JournalStorage(JournalFileBackend(str(path)))
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return RDBStorage(storage)
    except (ImportError, ValueError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        raise usage(
            "the storage of the search cannot be opened",
            where="--storage",
            expected="the path of a journal file, or a URL such as sqlite:///search.db or postgresql://HOST/NAME",
            found=str(error).splitlines()[0],
            fix="check the address, and that its driver is installed",
        ) from error
