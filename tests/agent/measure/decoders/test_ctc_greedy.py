import itertools

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {"alphabet": "abäß 日"}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("ctc_greedy", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("ctc_greedy", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    return {"logits": generator.normal(size=(count, 9, 7)).astype(np.float32)}, {}


def read(steps, *, blank=0, **options):
    scores = np.eye(7)[np.array(steps)][None]
    made = find_decoder("ctc_greedy", {**OPTIONS, "blank": blank, **options}).decode({"y": scores}, {})
    return made["text"].read(0).tobytes().decode()


def test_repeats_are_one_and_blanks_go():
    assert read([1, 1, 0, 1, 2, 2, 3, 4, 0]) == "aabäß"
    assert read([6, 5, 0, 0, 1]) == "日 a"
    assert read([0, 0]) == ""


def test_the_blank_may_stand_anywhere():
    assert read([0, 1, 6, 1, 5, 5], blank=6) == "abb日"
    assert read([0, 1, 3, 2, 4], blank=2) == "abäß"


def test_it_is_the_collapse_of_a_loop():
    outputs, _ = draw(np.random.default_rng(0), 20)
    made = find_decoder("ctc_greedy", OPTIONS).decode(outputs, {})["text"]
    for index, row in enumerate(outputs["logits"].argmax(axis=2)):
        letters = [OPTIONS["alphabet"][step - 1] for step, _ in itertools.groupby(row) if step]
        assert made.read(index).tobytes().decode() == "".join(letters)


def test_steps_may_come_first():
    outputs, _ = draw(np.random.default_rng(0), 3)
    first = find_decoder("ctc_greedy", {**OPTIONS, "steps_first": True})
    swapped = first.decode({"y": outputs["logits"].transpose(1, 0, 2)}, {})["text"]
    assert swapped.values.tolist() == find_decoder("ctc_greedy", OPTIONS).decode(outputs, {})["text"].values.tolist()


def test_a_step_with_a_nan_reads_what_no_text_has():
    scores = np.eye(7)[[1, 2]][None].copy()
    scores[0, 0, 3] = np.nan
    made = find_decoder("ctc_greedy", OPTIONS).decode({"y": scores}, {})["text"]
    assert made.values.tobytes().decode() == "\ufffdb"


@pytest.mark.parametrize(
    "changes", [{"alphabet": ""}, {"alphabet": "aa"}, {"blank": 7}, {"blank": -1}, {"alphabet": ["a"]}]
)
def test_options_that_make_no_sense_are_refused(changes):
    refuse_options({**OPTIONS, **changes})


def test_no_alphabet_and_scores_of_other_letters_are_refused():
    refuse_options({})
    refuse(OPTIONS, {"y": np.zeros((1, 4, 8))})
