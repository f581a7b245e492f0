"""A model is scored over what its decoder makes of the outputs, with the options of both."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import DecoderSpec, MetricSpec
from toolchain.agent.measure.scoring import find_scoring
from toolchain.agent.measure.targets import Ragged

MASK = np.array([[[0, 1], [1, 255]]])
SCORES = np.stack([MASK == 0, MASK == 1], axis=1).astype(np.float32)


def score(outputs, targets, inputs=None, **spec):
    scoring = find_scoring(MetricSpec(reference=None, **spec))
    tally = scoring.start()
    tally.add(outputs, targets, inputs or {})
    return tally.compute()


def test_without_a_metric_nothing_is_scored():
    assert find_scoring(MetricSpec(name=None, reference=None)) is None


def test_without_a_decoder_the_outputs_are_read_as_they_are():
    found = score({"logits": np.eye(3, dtype=np.float32)}, {"labels": np.array([0, 1, 1])}, name="top1")
    assert found == pytest.approx(2 / 3)


def test_a_decoder_stands_between_the_outputs_and_the_metric():
    decoder = DecoderSpec(name="argmax_mask")
    assert score({"logits": SCORES}, {"mask": MASK}, name="pixel_accuracy", decoder=decoder) == 1.0
    wrong = SCORES[:, ::-1].copy()
    assert score({"logits": wrong}, {"mask": MASK}, name="pixel_accuracy", decoder=decoder) == 0.0
    with pytest.raises(ToolchainError):
        score({"logits": SCORES}, {"mask": MASK}, name="pixel_accuracy")


def test_the_options_of_the_metric_and_of_the_decoder_are_theirs():
    letters = Ragged(np.frombuffer(b"ab", np.uint8), np.array([0, 2]))
    steps = np.eye(3, dtype=np.float32)[None, [1, 0, 2]]
    decoder = DecoderSpec(name="ctc_greedy", options={"alphabet": "ab"})
    assert score({"steps": steps}, {"text": letters}, name="cer", decoder=decoder) == 0.0
    swapped = DecoderSpec(name="ctc_greedy", options={"alphabet": "ba"})
    assert score({"steps": steps}, {"text": letters}, name="cer", decoder=swapped) == 1.0
    loose = {"ignore": 1}
    assert score({"m": SCORES}, {"mask": np.zeros_like(MASK) + (MASK == 1)}, name="pixel_accuracy", options={},
                 decoder=DecoderSpec(name="argmax_mask")) == 1.0  # fmt: skip
    with pytest.raises(ToolchainError):  # nothing is left of it
        score({"m": SCORES}, {"mask": np.ones_like(MASK)}, name="pixel_accuracy", options=loose,
              decoder=DecoderSpec(name="argmax_mask"))  # fmt: skip


def test_a_decoder_that_needs_the_inputs_gets_them():
    inputs = {"x": np.array([[1.0, 1.0], [0.0, 2.0]], np.float32)}
    rebuilt = {"y": np.array([[1.0, 1.0], [0.0, 0.0]], np.float32)}
    decoder = DecoderSpec(name="reconstruction_error")
    targets = {"anomalous": np.array([0, 1])}
    assert score(rebuilt, targets, inputs, name="auc", decoder=decoder) == 1.0


def test_what_the_decoder_reads_is_judged_and_the_rest_is_not():
    decoder = DecoderSpec(name="argmax_mask", options={"output": "scores"})
    scoring = find_scoring(MetricSpec(name="miou", reference=None, decoder=decoder))
    assert scoring.list_read(["aux", "scores"]) == ["scores"]
    assert find_scoring(MetricSpec(name="top1", reference=None)).list_read(["aux", "scores"]) == ["aux"]


def test_optional_targets_are_read_where_there_are_any():
    scoring = find_scoring(MetricSpec(name="map50", reference=None))
    assert scoring.list_targets(["boxes", "classes"]) == ["boxes", "classes"]
    assert scoring.list_targets(["boxes", "classes", "crowd"]) == ["boxes", "classes", "crowd"]


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "topp1"},
        {"name": "miou", "options": {"ignored": 1}},
        {"name": "miou", "decoder": DecoderSpec(name="argmax_masks")},
        {"name": "cer", "decoder": DecoderSpec(name="ctc_greedy")},
        {"name": "cer", "decoder": DecoderSpec(name="ctc_greedy", options={"alphabet": 3})},
    ],
)
def test_what_is_unknown_or_lacking_is_refused(spec):
    with pytest.raises(ToolchainError) as caught:
        find_scoring(MetricSpec(reference=None, **spec))
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
