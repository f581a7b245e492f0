"""A metric: the share of samples that are wrong, of which less is better. It stands alone, as a board has this file only."""

from ..scale import Scale
from ..targets import LABELS
from . import take_first, take_target

SCALE = Scale(unit="fraction", worst=1.0, best=0.0)
OUTPUTS = ()
TARGETS = (LABELS,)


class Tally:
    def __init__(self):
        self.samples, self.wrong = 0, 0

    def add(self, outputs, targets):
        labels = take_target("misses", targets, LABELS)
        self.samples += len(labels)
        self.wrong += int((take_first("misses", outputs).argmax(axis=1) != labels).sum())

    def compute(self):
        return self.wrong / self.samples


def start():
    return Tally()
