"""F1 of the spans that tags mark, such as names of persons in a text: a span is right where kind, begin and end are.

seqeval's f1_score (micro average) in its default mode, in which a span also begins without B: at I after O, or at I of
another kind. Tokens with -100 in the target count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence, Set, Tuple

import numpy as np
from numpy.typing import NDArray

from ..parts import refuse_part
from ..scale import FRACTION
from ..tallies.ratio import Ratio
from ..tallies.tags import TAGS, read_tags
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = (TAGS,)
TARGETS = (TAGS,)
_OUTSIDE = "O"


@dataclass(frozen=True)
class Options:
    """What class numbers mean."""

    names: Tuple[str, ...]
    """The tag of each class number: "O", or a letter of B, I, E, S, a hyphen and the kind, such as "B-PER"."""

    def __post_init__(self) -> None:
        strange = [name for name in self.names if name != _OUTSIDE and (name[:1] not in "BIES" or name[1:2] != "-")]
        if strange or _OUTSIDE not in self.names:
            message = f"O and tags such as B-PER, not {', '.join(strange) or 'no O'}"
            raise ValueError(message)


def _find_spans(tags: Sequence[str]) -> Set[Tuple[str, int, int]]:
    """Return kind, first and last place of each span."""
    spans = set()
    before, kind_before, begin = _OUTSIDE, "", 0
    for place, tag in enumerate([*tags, _OUTSIDE]):
        letter, kind = tag[0], tag[2:]
        ends = before in "ES" or (before in "BI" and letter in "BSO") or (before != _OUTSIDE and kind != kind_before)
        begins = letter in "BS" or (letter in "EI" and before in "ESO") or (letter != _OUTSIDE and kind != kind_before)
        if before != _OUTSIDE and ends:
            spans.add((kind_before, begin, place - 1))
        if begins:
            begin = place
        before, kind_before = letter, kind
    return spans


class _Spans(Ratio):
    def __init__(self, options: Options) -> None:
        super().__init__("span_f1", whole="span")
        self._names = options.names

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add tags and tags, both (n, tokens) or ragged; an answer that is no class is outside of any span."""
        right, both = [], []
        for found, wanted in read_tags("span_f1", outputs, targets):
            if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < len(self._names):
                expected, got = f"classes 0 to {len(self._names) - 1}", f"{wanted.min()} to {wanted.max()}"
                raise refuse_part("span_f1", f"targets: {TAGS}", expected=expected, found=got)
            answers, truth = _find_spans(self._write(found)), _find_spans(self._write(wanted))
            right.append(2 * len(answers & truth))
            both.append(len(answers) + len(truth))
        self.add_samples(np.array(right), np.array(both))

    def _write(self, tags: NDArray[Any]) -> Sequence[str]:
        return [self._names[tag] if 0 <= tag < len(self._names) else _OUTSIDE for tag in tags.tolist()]


def start(options: Options) -> Tally:
    """Return a tally of nothing."""
    return _Spans(options)
