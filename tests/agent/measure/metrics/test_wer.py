import numpy as np
import pytest
from jiwer import wer

from tests.agent.measure.metrics.texts import draw_texts, pack_texts
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.targets import Ragged


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    wanted = draw_texts(generator, count)
    found = wanted if perfect else draw_texts(generator, count)
    return {"text": pack_texts(found)}, {"text": pack_texts(wanted)}


def measure(outputs, targets):
    tally = find_metric("wer").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_jiwers(seed):
    generator = np.random.default_rng(seed)
    wanted, found = draw_texts(generator, 30), draw_texts(generator, 30)
    value = measure({"text": pack_texts(found)}, {"text": pack_texts(wanted)})
    assert value == pytest.approx(wer(wanted, found), abs=1e-9)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("ab", ""), ("ab c", "  ab   c "), ("a", "abc def ghi"), ("Straße über", "Strasse uber"), ("日本 語", "日 本語")],
)
def test_odd_texts_are_jiwers_too(wanted, found):
    value = measure({"text": pack_texts([found])}, {"text": pack_texts([wanted])})
    assert value == pytest.approx(wer([wanted], [found]), abs=1e-9)


def test_an_empty_text_that_something_was_read_from_counts_as_edits():
    value = measure({"text": pack_texts(["x", "a"])}, {"text": pack_texts(["", "a"])})
    assert value == 1.0


def test_what_is_no_utf_8_in_an_output_is_wrong():
    assert measure({"text": pack_texts([b"\xff"])}, {"text": pack_texts(["a"])}) == 1.0


def test_a_target_that_is_no_utf_8_is_refused():
    refuse(ExitCode.MALFORMED, {"text": pack_texts(["a"])}, {"text": pack_texts([b"\xff"])})


def test_texts_without_a_word_prove_nothing():
    refuse(ExitCode.INVALID, {"text": pack_texts(["a"])}, {"text": pack_texts(["  "])})


def test_a_text_without_an_end_is_refused_before_any_work():
    refuse(ExitCode.MALFORMED, {"text": pack_texts([b"a" * 10**7])}, {"text": pack_texts(["a"])})
    refuse(ExitCode.MALFORMED, {"text": pack_texts(["a"])}, {"text": pack_texts([b"a" * 10**7])})


def test_letters_that_are_no_bytes_are_refused():
    letters = Ragged(values=np.array([97]), offsets=np.array([0, 1]))
    refuse(ExitCode.MALFORMED, {"text": letters}, {"text": pack_texts(["a"])})
