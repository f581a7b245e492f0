"""One release, opened: its proven payload in a session, held in use for as long as anybody runs it."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from ..install.proven import Proven, read_proven
from ..install.slots import CURRENT, Slots
from ..install.trust import STATE_NAME
from ..install.verdict import Verdict, find_verdict
from ..manifest import Manifest
from ..measure.checked_decoder import CheckedDecoder
from ..measure.decoders import find_decoder
from ..measure.preprocess.picture import prepare_picture
from ..measure.preprocess.text import feed_texts, open_tokenizer
from ..measure.preprocess.tokenize import Tokenizer
from ..measure.session import Session, open_session
from ..measure.shapes import describe_difference, find_fixed_batch
from .engine import check_what_was_proven, open_proven_engine
from .errors import ExpiredError, FrameError
from .frames import Answers, Frame, FrameReader, take_batch, take_sample
from .hold import Hold, hold_active
from .loaded import list_loaded_changes
from .warm_up import warm_up

BOXES = "boxes"
# How often a release is opened anew because another one became active meanwhile.
_ATTEMPTS = 5
# A deploy that has switched writes its state within milliseconds; only an error waits for it.
_REST_S = 0.1

Seen = Tuple[Optional[str], Optional[Tuple[int, ...]], Optional[Tuple[int, ...]]]


@dataclass(frozen=True)
class Release:
    """What answers: a release by the id of its bundle, and the payload of it that was proven."""

    bundle_id: str
    model: str
    precision: str
    runtime: str
    threads: int
    pins_threads: bool
    path: str
    sha256: str
    proven_at: str
    """UTC, such as 2027-01-31T00:00:00Z."""


def describe_release(proven: Proven, verdict: Verdict) -> Release:
    """Return what a verdict says of its release."""
    shipped = verdict.shipped
    return Release(
        bundle_id=proven.bundle_id,
        model=verdict.model,
        precision=shipped.precision,
        runtime=shipped.runtime,
        threads=shipped.threads,
        pins_threads=shipped.pins_threads,
        path=shipped.path,
        sha256=shipped.sha256,
        proven_at=verdict.time,
    )


@dataclass(frozen=True)
class Wishes:
    """How an application wants a release opened; see open_current."""

    refuses_unproven: bool = True
    is_warmed_up: bool = True
    is_raw: bool = False


class Opened:
    """A payload that answers. Nobody closes it: it goes, session and hold, when the last one who runs it is done."""

    def __init__(
        self,
        proven: Proven,
        verdict: Verdict,
        session: Session,
        hold: Hold,
        decoder: Optional[CheckedDecoder],
        tokenizer: Optional[Tokenizer] = None,
    ) -> None:
        manifest = proven.manifest
        self.release = describe_release(proven, verdict)
        self.inputs, self.outputs, self.threads = manifest.inputs, manifest.outputs, verdict.shipped.threads
        self.batch = 1 if manifest.golden.stacked else find_fixed_batch(session.inputs)
        self.sensor, self.classes = manifest.input, manifest.output.classes
        self.payload, self.engine = proven.payload, _identify_engine(proven)
        self._names = [spec.name for spec in manifest.outputs]
        self._reader = FrameReader(session.inputs, stacked=manifest.golden.stacked)
        self._session, self._hold, self._decoder, self._tokenizer = session, hold, decoder, tokenizer

    def is_of(self, proven: Proven) -> bool:
        """Return whether this is the payload of a release, in the very file that is there now."""
        if proven.verdict is None or proven.payload is None or self.payload is None:
            return False
        is_same_file = identify(proven.payload) == identify(self.payload) and _identify_engine(proven) == self.engine
        return is_same_file and describe_release(proven, proven.verdict) == self.release

    def answer(self, frame: Union[Frame, str]) -> Answers:
        """Return what the payload makes of a frame, decoded where there is a decoder; see Model."""
        if isinstance(frame, str):
            frame = self._tokenize(frame)
        feeds, is_single = self._reader.read(frame)
        outputs = self._session.run(feeds)
        if self._decoder is not None:
            named = {name: outputs[name] for name in self._names}  # the first is the manifest's
            decoded = self._decoder.decode(named, feeds)
            return take_sample(decoded) if is_single else take_batch(decoded)
        return take_sample(outputs) if is_single else outputs

    def see(self, picture: NDArray[Any]) -> Answers:
        """Return what the payload makes of a frame of the sensor's, boxes in pixels of that; see Model."""
        sensor = self.sensor
        if sensor is None or sensor.picture is None:
            raise _refuse_picture("the bundle says how a picture becomes an input", "no [input] of the recipe says it")
        if len(self.inputs) > 1 or not isinstance(picture, np.ndarray):
            raise _refuse_picture("one numpy.ndarray (height, width, colours)", type(picture).__name__)
        try:
            tensor, at = prepare_picture(picture, sensor.picture)
        except ToolchainError as error:
            raise _explain_frame(error) from error
        answers = self.answer(tensor[0])
        if BOXES in answers and self._decoder is not None:
            answers[BOXES] = at.restore_boxes(answers[BOXES])
        return answers

    def _tokenize(self, text: str) -> Dict[str, NDArray[Any]]:
        """Return a text as one sample without a batch axis."""
        if self.sensor is None or self._tokenizer is None:
            what, fix = "this model takes no text", "give `model(frame)` what `model.inputs` says"
            expected, found = "a tokenizer in [input] of the recipe", "none"
            raise FrameError(ExitCode.USAGE, what, where="text", expected=expected, found=found, fix=fix)
        try:
            made = feed_texts(self._tokenizer, [text], self.sensor, self.inputs)
        except ToolchainError as error:
            raise _explain_frame(error) from error
        return {name: array[0] for name, array in made.items()}

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # one that was never opened
            self._session.close()
            self._hold.close()


def _explain_frame(error: ToolchainError) -> FrameError:
    where, expected, found, fix = error.where, error.expected, error.found, error.fix
    return FrameError(error.code, error.what, where=where, expected=expected, found=found, fix=fix)


def _refuse_picture(expected: str, found: str) -> FrameError:
    what, fix = "this model cannot be shown a picture", "give `model(frame)` what `model.inputs` says"
    return FrameError(ExitCode.USAGE, what, where="picture", expected=expected, found=found, fix=fix)


def open_active(root: Path, wishes: Wishes, running: Optional[Opened] = None) -> Tuple[Opened, Tuple[str, ...], Seen]:
    """Return the active release, opened, why its verdict holds no more (nothing where it holds), and what was looked at.

    Where what answers is what is `running`, that is returned. Raises ToolchainError: exit 25 (ExpiredError) a verdict that
    holds no more where that is refused, or none at all; 2 no release is active; 3 the runtime is not installed; 11 other
    bytes than the proven ones; 14 others could change them; 17 the board does not come to rest; 23 a manifest or verdict
    that cannot be read.
    """
    for _ in range(_ATTEMPTS):
        seen = look(root)
        try:
            opened, reasons = _open_once(Slots(root), wishes, running)
        except (OSError, ToolchainError):
            # A deploy writes link, verdict and state one after the other: between two of them they contradict each other.
            threading.Event().wait(_REST_S)
            if look(root) == seen:
                raise
            continue
        # What became active, or was proven anew, while this one was opened is opened in its place.
        if look(root) == seen:
            return opened, reasons, seen
    what, fix = "the active release changes faster than it can be opened", "open it when the deploys are over"
    raise ToolchainError(ExitCode.BUSY, what, where=str(root / CURRENT), found=f"{_ATTEMPTS} changes", fix=fix)


def look(root: Path) -> Seen:
    """Return what changes when another release becomes active, or this one is proven anew: three calls of the system."""
    try:
        bundle_id = Path(os.readlink(str(root / CURRENT))).name
    except OSError:
        return None, None, None
    return bundle_id, _stat(find_verdict(root, bundle_id)), _stat(root / STATE_NAME)


def _stat(path: Path) -> Optional[Tuple[int, ...]]:
    try:
        return identify(path.stat())
    except OSError:
        return None


def identify(status: os.stat_result) -> Tuple[int, ...]:
    """Return what changes when a file does; nobody can set ctime."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _identify_engine(proven: Proven) -> Optional[Tuple[Path, Tuple[int, ...]]]:
    return None if proven.engine is None else (proven.engine.path, identify(proven.engine.status))


def _open_once(slots: Slots, wishes: Wishes, running: Optional[Opened]) -> Tuple[Opened, Tuple[str, ...]]:
    bundle_id, hold = hold_active(slots)
    try:
        proven = read_proven(slots, bundle_id, hold.descriptor)
        verdict = _check_verdict(proven)
        _check_reasons(bundle_id, proven.reasons, verdict, wishes)
        if running is not None and running.is_of(proven):
            hold.close()
            return running, proven.reasons
        return _open(slots, proven, verdict, hold, wishes)
    except BaseException:
        hold.close()
        raise


def _open(slots: Slots, proven: Proven, verdict: Verdict, hold: Hold, wishes: Wishes) -> Tuple[Opened, Tuple[str, ...]]:
    manifest, release = proven.manifest, slots.find_release(proven.bundle_id)
    runtime = verdict.shipped.runtime
    check_what_was_proven(runtime, verdict.engine, proven.bundle_id)
    decoder = None if wishes.is_raw else _find_decoder(manifest)
    path = release / verdict.shipped.path
    if proven.engine is None:
        session = open_session(runtime, path, verdict.shipped.threads, pins_threads=verdict.shipped.pins_threads)
    else:
        # An engine is native code of one TensorRT: another one does not get it.
        _check_reasons(proven.bundle_id, list_loaded_changes(verdict), verdict, wishes)
        session = open_proven_engine(runtime, proven.engine)
    try:
        _check_payload(slots, proven, path, hold)
        _check_tensors(manifest, session, str(path))
        reasons = (*proven.reasons, *list_loaded_changes(verdict))
        _check_reasons(proven.bundle_id, reasons, verdict, wishes)
        if wishes.is_warmed_up:
            warm_up(session, manifest, release)
        return Opened(proven, verdict, session, hold, decoder, open_tokenizer(hold.descriptor, manifest)), reasons
    except BaseException:
        session.close()
        raise


def _check_verdict(proven: Proven) -> Verdict:
    if proven.verdict is None:
        fix = "deploy the bundle again: without a verdict no payload is the proven one"
        raise _expire(proven.bundle_id, proven.reasons, fix)
    return proven.verdict


def _check_reasons(bundle_id: str, reasons: Sequence[str], verdict: Verdict, wishes: Wishes) -> None:
    if reasons and wishes.refuses_unproven:
        fix = (
            "prove it again: `toolchain verify --device NAME`; it was proven with the Python "
            f'{verdict.python_path}. open_current(ROOT, unproven="warn") opens it all the same'
        )
        raise _expire(bundle_id, reasons, fix)


def _expire(bundle_id: str, reasons: Sequence[str], fix: str) -> ExpiredError:
    what = "the active release is not proven here and now"
    expected, found = "a verdict that holds", "; ".join(reasons)
    return ExpiredError(ExitCode.EXPIRED, what, where=bundle_id, expected=expected, found=found, fix=fix)


def _find_decoder(manifest: Manifest) -> Optional[CheckedDecoder]:
    spec = manifest.metric.decoder
    if spec is None:
        return None
    try:
        return find_decoder(spec.name, spec.options)
    except ToolchainError as error:
        what, fix = f"the decoder {spec.name} of this release cannot be used here", "open_current(ROOT, raw=True)"
        found = error.what if error.found is None else f"{error.what}: {error.found}"
        raise ToolchainError(
            error.code, what, where=error.where, expected=error.expected, found=found, fix=fix
        ) from error


def _check_payload(slots: Slots, proven: Proven, path: Path, hold: Hold) -> None:
    """Refuse (exit 11) a payload whose file is not the one that was hashed: what the runtime read may be other bytes."""
    before = proven.payload
    try:
        slots.check_held(proven.bundle_id, hold.descriptor)
        status = path.lstat()
        is_same = before is not None and identify(status) == identify(before)
    except (OSError, ToolchainError):
        is_same = False
    if not is_same:
        what, fix = "the payload was exchanged while it was opened", "open it again; find out what changes releases"
        raise ToolchainError(
            ExitCode.CONTENT, what, where=str(path), expected="the file that was hashed", found="another one", fix=fix
        )


def _check_tensors(manifest: Manifest, session: Session, where: str) -> None:
    for expected, found in ((manifest.inputs, session.inputs), (manifest.outputs, session.outputs)):
        difference = describe_difference(expected, found)
        if difference is not None:
            what, fix = "the payload is not what its manifest says", "deploy the model again"
            raise ToolchainError(ExitCode.MALFORMED, what, where=where, found=difference, fix=fix)


def list_payload_changes(opened: Opened, root: Path) -> Dict[str, str]:
    """Return what became of the payload's file, or the engine's, since it was opened; the session goes on without it."""
    path = root / "releases" / opened.release.bundle_id / opened.release.path
    payload = (path, None if opened.payload is None else identify(opened.payload))
    for path, identity in [payload, *([] if opened.engine is None else [opened.engine])]:
        try:
            is_same = identify(path.lstat()) == identity
        except OSError as error:
            return {"where": str(path), "found": error.strerror or "none"}
        if not is_same:
            return {"where": str(path), "found": "another file, or other bytes"}
    return {}
