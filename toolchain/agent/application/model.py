"""The active release of a board as a function: frames in, answers out, a new release without a frame lost."""

from __future__ import annotations

import logging
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Mapping, Optional, Tuple, Type, Union

from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError, first_line, is_storage_error
from ..manifest import TensorSpec
from ..sensor import InputSpec
from .errors import ClosedError
from .frames import Answers, Frame
from .opened import Opened, Release, Seen, Wishes, list_payload_changes, look, open_active

_LOG = logging.getLogger("edge_app")
REFUSE, WARN = "refuse", "warn"
# What could not be opened is tried again when link or verdict change, and after so many looks: a disk or a memory that
# was full says nothing of when it has room again.
_LOOKS_UNTIL_RETRY = 30
# A date that passes, a key that is revoked, a runtime that is upgraded change neither: every ten minutes all is judged anew,
# in a tenth of a second.
_LOOKS_UNTIL_PROOF = 600


class Model:
    """What open_current returns.

    `model(frame)` may be called by several threads. It answers by one release from beginning to end: by the new one as
    soon as that is open, by the old one until then.
    """

    def __init__(self, root: Path, wishes: Wishes) -> None:
        """Open the active release; raises ToolchainError as open_current."""
        self._root, self._wishes = root, wishes
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._watcher: Optional[threading.Thread] = None
        self._opened: Optional[Opened] = None
        self._seen: Seen = (None, None, None)
        self._failed: Optional[Seen] = None
        self._looks = 0
        self._opening: Optional[ToolchainError] = None
        self._files: Optional[ToolchainError] = None
        self.reasons: Tuple[str, ...] = ()
        """Why the verdict holds no more, a line each; nothing where it holds."""
        self._open()

    def __call__(self, frame: Union[Frame, str]) -> Answers:
        """Return the answers to a frame, by name.

        A frame is a numpy array (a mapping of them where there are several inputs) of the type and shape that the model
        was proven with: a sample, or a batch of them. Of a sample the answers have no batch axis. Where the manifest has a
        tokenizer, a frame may be a text (str), which is one sample. Raises FrameError for any other frame, ClosedError
        after close().
        """
        opened = self._opened
        if opened is None:
            raise _refuse_closed()
        return opened.answer(frame)

    def see(self, picture: NDArray[Any]) -> Answers:
        """Return the answers to a picture (height, width, colours) as the sensor gives it, of any size that the bundle takes.

        It is resized and laid out as the manifest says (docs/input_output.md); boxes come in pixels of the picture. Raises
        FrameError for what is no such picture, and where the recipe does not say what the sensor gives.
        """
        return self._find_opened().see(picture)

    @property
    def trouble(self) -> Optional[ToolchainError]:
        """What stands against the newest release, or became of the files of this one; None where all is well."""
        return self._opening or self._files

    @property
    def is_proven(self) -> bool:
        """Whether nothing stands against what answers, as far as was looked."""
        return not self.reasons and self.trouble is None

    @property
    def release(self) -> Release:
        """The release that answers now."""
        return self._find_opened().release

    @property
    def inputs(self) -> Tuple[TensorSpec, ...]:
        """What a frame must be; None is an axis of any size."""
        return self._find_opened().inputs

    @property
    def sensor(self) -> Optional[InputSpec]:
        """What the sensor gives, as the recipe says it; None where it does not."""
        return self._find_opened().sensor

    @property
    def classes(self) -> Tuple[str, ...]:
        """The names of the classes by number; none where the recipe has none."""
        return self._find_opened().classes

    @property
    def outputs(self) -> Tuple[TensorSpec, ...]:
        """The outputs of the payload, before any decoder."""
        return self._find_opened().outputs

    @property
    def batch(self) -> Optional[int]:
        """How many samples a frame must have; None takes any number."""
        return self._find_opened().batch

    @property
    def threads(self) -> int:
        """How many threads the payload was proven with, and runs on."""
        return self._find_opened().threads

    def refresh(self) -> bool:
        """Look now whether another release is active, and open it; return whether another one answers.

        Raises ToolchainError where it cannot be opened; the old one goes on.
        """
        with self._lock:
            if self._opened is None:
                raise _refuse_closed()
            before = self._opened
            if look(self._root) != self._seen:
                self._open()
            return self._opened is not before

    def close(self) -> None:
        """Give back what is held; runs that are under way end as they would."""
        self._ended.set()
        watcher = self._watcher
        if watcher is not None and watcher is not threading.current_thread():
            watcher.join()  # an interpreter that ends while a release is opened would crash
        with self._lock:
            self._opened = None

    def __enter__(self) -> Model:  # noqa: PYI034 - Python 3.8 has no Self
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def watch(self, interval_s: float) -> None:
        """Look for a new release every so often, on a thread of its own that goes with the model."""
        arguments = (weakref.ref(self), self._ended, interval_s)
        self._watcher = threading.Thread(target=_watch, args=arguments, name="edge_app", daemon=True)
        self._watcher.start()

    def check(self) -> None:
        """Do as refresh, but note what went wrong in `trouble`: what is there goes on answering."""
        with self._lock:
            if self._opened is None:
                return
            now = look(self._root)
            if now == self._seen and self._failed not in (None, now):  # what failed is not active any more
                self._failed = self._opening = None
            try:
                if self._is_due(now):
                    self._open()
            except ToolchainError as error:
                self._failed, self._opening = now, _note(error, self._opening)
            except Exception as error:  # noqa: BLE001 - a look may fail in any way; the frames go on
                self._failed, self._opening = now, _note(_explain(error, self._root), self._opening)
            changes = list_payload_changes(self._find_opened(), self._root)
            self._files = _note(_describe_changes(changes), self._files) if changes else None

    def _find_opened(self) -> Opened:
        opened = self._opened
        if opened is None:
            raise _refuse_closed()
        return opened

    def _is_due(self, now: Seen) -> bool:
        is_new = now not in (self._seen, self._failed)
        self._looks = 0 if is_new else self._looks + 1
        period = _LOOKS_UNTIL_PROOF if now == self._seen else _LOOKS_UNTIL_RETRY
        return is_new or self._looks % period == 0

    def _open(self) -> None:
        try:
            opened, reasons, seen = open_active(self._root, self._wishes, self._opened)
        except OSError as error:
            raise _explain(error, self._root) from error
        if reasons and reasons != self.reasons:
            _LOG.warning("release %s is not proven here and now: %s", opened.release.bundle_id, "; ".join(reasons))
        if self._opened is not None and opened.release != self._opened.release:
            _LOG.info("release %s answers, after %s", opened.release.bundle_id, self._opened.release.bundle_id)
        self._opened, self.reasons, self._seen = opened, reasons, seen
        self._failed = self._opening = self._files = None


def open_current(
    root: Union[str, Path],
    *,
    unproven: str = REFUSE,
    check_interval_s: Optional[float] = 1.0,
    warm_up: bool = True,
    raw: bool = False,
) -> Model:
    """Open the payload that was proven of the active release of a board; use it in a `with`, or close it.

    Args:
        root: the board's ROOT (docs/boards.md).
        unproven: "refuse" a release whose verdict holds no more, or "warn" (logging) and say why in `model.reasons`. One
            without a verdict is refused either way: nothing says which of its payloads was proven.
        check_interval_s: how often to look for a new release, on a thread of its own; None looks at `refresh` alone.
        warm_up: run it until it is as fast as it was when it was measured, before the first frame.
        raw: answer with the payload's outputs as they are, where the bundle names a decoder too.

    Raises ToolchainError, in words, with its exit code in `code`: 25 (ExpiredError) not proven here and now; 2 no release
    is active, or wrong arguments; 3 the runtime is not installed; 10 and 11 not what was signed or proven; 12 the payload
    needs a board of another kind; 14 others could change it; 17 deploys that do not end; 23 what cannot be read.
    """
    if unproven not in (REFUSE, WARN):
        raise _refuse_argument("unproven", f"{REFUSE} or {WARN}", repr(unproven))
    if check_interval_s is not None and not 0 < check_interval_s < threading.TIMEOUT_MAX:
        raise _refuse_argument("check_interval_s", "seconds above 0, or None", repr(check_interval_s))
    wishes = Wishes(refuses_unproven=unproven == REFUSE, is_warmed_up=warm_up, is_raw=raw)
    model = Model(Path(root).absolute(), wishes)
    if check_interval_s is not None:
        model.watch(check_interval_s)
    return model


def _watch(reference: "weakref.ref[Model]", ended: threading.Event, interval_s: float) -> None:
    while not ended.wait(interval_s):
        model = reference()
        if model is None:
            return
        model.check()
        del model  # not held while nothing is looked at


def _explain(error: Exception, root: Path) -> ToolchainError:
    code = ExitCode.STORAGE if is_storage_error(error) else ExitCode.UNEXPECTED
    where = str(getattr(error, "filename", None) or root)
    what, fix = "the active release cannot be opened", "look at the disk, the memory and the rights of this user"
    return ToolchainError(code, what, where=where, found=f"{type(error).__name__}: {first_line(error)}", fix=fix)


def _note(error: ToolchainError, before: Optional[ToolchainError]) -> ToolchainError:
    if before is None or str(before) != str(error):  # the same once a second would fill a log
        _LOG.warning("%s", error)
    return error


def _describe_changes(changes: Mapping[str, str]) -> ToolchainError:
    what, fix = "the payload that answers is on the disk no more", "deploy again; what runs has it in memory"
    where, found = changes["where"], changes["found"]
    return ToolchainError(
        ExitCode.CONTENT, what, where=where, expected="the file that was opened", found=found, fix=fix
    )


def _refuse_closed() -> ClosedError:
    what, fix = "the model is closed", "call it within its `with`, or open it again"
    return ClosedError(ExitCode.USAGE, what, fix=fix)


def _refuse_argument(where: str, expected: str, found: str) -> ToolchainError:
    what, fix = "open_current cannot take this argument", "correct it"
    return ToolchainError(ExitCode.USAGE, what, where=where, expected=expected, found=found, fix=fix)
