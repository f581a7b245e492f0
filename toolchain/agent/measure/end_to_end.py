"""From a sensor's frame to answers: what each part of the way takes, with this agent's own pre- and post-processing."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from ..manifest import Manifest
from .decoders import find_decoder
from .golden import GoldenArrays
from .latency import Stopwatch
from .pairs import read_frame
from .preprocess.picture import prepare_picture
from .preprocess.text import feed_texts, open_tokenizer
from .record import EndToEnd
from .session import Session
from .text_pairs import read_texts

# A share of the whole to a few percent; it gates nothing.
_RUNS, _WARM_UP_RUNS = 30, 5


def measure_end_to_end(
    bundle_dir: Path, manifest: Manifest, golden: GoldenArrays, session: Session, *, sample: int
) -> Optional[EndToEnd]:
    """Return what the parts take, in turn; None where no sensor is described, or a run takes more than one frame.

    sample: of the evaluation set, what the model is fed that no sensor gives.
    """
    spec = manifest.input
    if spec is None or golden.find_batch(session.inputs) not in (None, 1):
        return None
    feeds, frame, prepare = golden.read_inputs(sample, sample + 1), None, None
    if spec.picture is not None and manifest.golden.pairs.pictures:
        picture = spec.picture
        frames = [read_frame(bundle_dir, pair) for pair in manifest.golden.pairs.pictures]
        frame = largest = max(frames, key=lambda one: one.size)

        def prepare_frame() -> Dict[str, Any]:
            return {spec.name: prepare_picture(largest, picture)[0]}

        prepare = prepare_frame
    tokenizer, texts = open_tokenizer(bundle_dir, manifest), manifest.golden.pairs.texts
    if tokenizer is not None and texts is not None:
        words = tokenizer
        longest = max(read_texts(bundle_dir, texts), key=len)

        def prepare_text() -> Dict[str, Any]:
            return feed_texts(words, [longest], spec, manifest.inputs)

        prepare = prepare_text
    times = [_time_once(session, feeds, prepare, _make_decode(manifest)) for _ in range(_WARM_UP_RUNS + _RUNS)]
    pre_ms, model_ms, post_ms = (statistics.median(part) for part in zip(*times[_WARM_UP_RUNS:]))  # noqa: B905 - Python 3.8
    return EndToEnd(
        frame_width=None if frame is None else frame.shape[1],
        frame_height=None if frame is None else frame.shape[0],
        pre_ms=pre_ms,
        model_ms=model_ms,
        post_ms=post_ms,
        runs=_RUNS,
    )


def _make_decode(manifest: Manifest) -> Callable[[Dict[str, Any], Dict[str, Any]], object]:
    decoder = manifest.metric.decoder
    if decoder is None:
        return lambda _outputs, _feeds: None
    reader = find_decoder(decoder.name, decoder.options)
    names = [spec.name for spec in manifest.outputs]
    return lambda outputs, feeds: reader.decode({name: outputs[name] for name in names}, feeds)


def _time_once(
    session: Session,
    feeds: Dict[str, Any],
    prepare: Optional[Callable[[], Dict[str, Any]]],
    decode: Callable[[Dict[str, Any], Dict[str, Any]], object],
) -> Tuple[float, float, float]:
    """Return the ms of the three parts, one after another."""
    watch = Stopwatch()
    marks: List[float] = [watch.read_s()]
    if prepare is not None:
        feeds = {**feeds, **prepare()}
    marks.append(watch.read_s())
    outputs = session.run(feeds)
    marks.append(watch.read_s())
    decode(outputs, feeds)
    marks.append(watch.read_s())
    first, second, third = ((marks[index + 1] - marks[index]) * 1000 for index in range(3))
    return first, second, third
