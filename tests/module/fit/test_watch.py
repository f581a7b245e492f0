"""The weights of the best epoch are kept, and what is held out is not trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.compress.conftest import make_samples
from toolchain.agent.measure.scale import FRACTION, Scale
from toolchain.module.fit import Watch, hold_out
from toolchain.module.train import _advise


def set_weight(model, value):
    with torch.no_grad():
        model.weight.fill_(value)


def watch_epochs(values, scale=FRACTION, untrained=0.1):
    """Return a watch, and the model after epochs with these metrics; its weight is the number of the epoch."""
    model, told = nn.Linear(1, 1, bias=False), iter([untrained, *values])
    watch = Watch(lambda _: next(told), scale)
    for epoch in range(len(values) + 1):
        set_weight(model, float(epoch))
        watch.look(model, epoch)
    return watch, model


@pytest.mark.parametrize(
    ("values", "scale", "best"),
    [
        ([0.5, 0.9, 0.7], FRACTION, 2),
        ([0.5, 0.9, 0.9], FRACTION, 3),
        ([0.1, 0.2, 0.3], FRACTION, 3),
        ([3.0, 1.0, 2.0], Scale(unit="px", worst=float("inf"), best=0.0), 2),
    ],
)
def test_the_model_ends_with_the_weights_of_the_best_epoch(values, scale, best):
    watch, model = watch_epochs(values, scale)
    watch.restore(model)
    assert (watch.epoch, model.weight.item()) == (best, float(best))


def test_a_model_that_never_got_better_than_it_began_is_said_to_have_learnt_nothing():
    assert watch_epochs([0.1, 0.05])[0].has_learnt is False
    assert watch_epochs([0.1, 0.11])[0].has_learnt is True


@pytest.mark.parametrize(
    ("values", "scale", "untrained", "fall"),
    [
        ([0.85, 0.59, 0.8, 0.87], FRACTION, 0.06, (2, 0.85, 0.59)),
        ([0.85, 0.7, 0.3], FRACTION, 0.06, (3, 0.85, 0.3)),
        ([0.85, 0.84, 0.87], FRACTION, 0.06, None),
        ([0.05, 0.04], FRACTION, 0.06, None),
        ([3.0, 1.0, 4.0], Scale(unit="px", worst=float("inf"), best=0.0), 9.0, (3, 1.0, 4.0)),
        ([3.0, 1.0, 2.0], Scale(unit="px", worst=float("inf"), best=0.0), 9.0, None),
    ],
)
def test_an_epoch_that_loses_much_of_what_was_gained_is_remembered(values, scale, untrained, fall):
    found = watch_epochs(values, scale, untrained)[0].fall
    assert (found and (found.epoch, found.before, found.after)) == fall


def test_what_fell_is_told_to_lower_its_rate_and_what_did_not_is_not():
    assert "epoch 2" in _advise(watch_epochs([0.85, 0.59])[0])
    assert "train.learning_rate" in _advise(watch_epochs([0.85, 0.59])[0])
    assert _advise(watch_epochs([0.85, 0.86])[0]) == ""
    assert _advise(None) == ""


def test_a_resumed_watch_knows_the_best_epoch_of_before():
    watch, model = watch_epochs([0.9, 0.4])
    assert watch.fall is not None
    again = Watch(lambda _: 0.5, FRACTION)
    again.load_state_dict(watch.state_dict())
    set_weight(model, 7.0)
    again.look(model, 3)
    again.restore(model)
    assert (again.epoch, model.weight.item(), again.untrained, again.fall) == (1, 1.0, 0.1, watch.fall)


class Many:
    """Samples of two classes that come one after the other."""

    sha256 = "many"

    def __init__(self, count):
        self.targets = {"labels": np.repeat([0, 1], [count - count // 4, count // 4])}

    def __len__(self):
        return len(self.targets["labels"])

    def take(self, indices):
        return {"input": indices}


def test_what_is_held_out_is_not_learnt_and_has_as_much_of_each_class():
    learnt, held = hold_out(Many(4000), 0.1, seed=0)
    seen, kept = learnt.take(np.arange(len(learnt)))["input"], held.take(np.arange(len(held)))["input"]
    assert len(held) == 400
    assert sorted([*seen, *kept]) == list(range(4000))
    assert held.targets["labels"].mean() == pytest.approx(0.25, abs=0.01)
    again = hold_out(Many(4000), 0.1, seed=0)[1]
    assert again.sha256 == held.sha256
    assert hold_out(Many(4000), 0.1, seed=1)[1].sha256 != held.sha256


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_of_few_samples_none_is_held_out(share):
    samples = make_samples()
    assert hold_out(samples, share, seed=0) == (samples, None)
