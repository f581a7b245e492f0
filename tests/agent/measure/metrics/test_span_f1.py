import numpy as np
import pytest
from seqeval.metrics import f1_score

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.targets import Ragged

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER"]
OPTIONS = {"names": NAMES}


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    wanted = generator.integers(0, len(NAMES), (count, 8))
    found = wanted if perfect else generator.integers(0, len(NAMES), (count, 8))
    return {"tags": found}, {"tags": np.where(generator.random(wanted.shape) < 0.2, -100, wanted)}


def measure(outputs, targets):
    tally = find_metric("span_f1", OPTIONS).start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_seqevals(seed):
    outputs, targets = draw(np.random.default_rng(seed), 20, perfect=False)
    kept = [row != -100 for row in targets["tags"]]
    wanted, found = (
        [[NAMES[tag] for tag in row[chosen]] for row, chosen in zip(rows["tags"], kept, strict=True)]
        for rows in (targets, outputs)
    )
    assert measure(outputs, targets) == pytest.approx(f1_score(wanted, found), abs=1e-9)


def test_a_class_number_however_large_is_outside_of_any_span():
    assert measure({"tags": np.array([[2**40, 1]])}, {"tags": np.array([[0, 1]])}) == 1.0
    refuse(ExitCode.MALFORMED, {"tags": np.array([[0, 1]])}, {"tags": np.array([[2**40, 1]])})


def test_no_span_proves_nothing():
    refuse(ExitCode.INVALID, {"tags": np.zeros((2, 3), int)}, {"tags": np.zeros((2, 3), int)})


@pytest.mark.parametrize("options", [{}, {"names": []}, {"names": ["O", "PER"]}, {"names": ["B-PER"]}, {"names": "O"}])
def test_names_that_are_no_tags_are_refused(options):
    with pytest.raises(ToolchainError) as caught:
        find_metric("span_f1", options).start()
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def test_ragged_tags_are_tags_without_padding():
    offsets = np.array([0, 1, 3])
    found, wanted = (Ragged(values=np.array(tags), offsets=offsets) for tags in ([1, 2, 0], [1, 2, 1]))
    padded = np.array([[1, -100], [2, 1]])
    assert measure({"tags": found}, {"tags": wanted}) == measure({"tags": np.array([[1, 4], [2, 0]])}, {"tags": padded})


def test_samples_without_a_token_that_counts_prove_nothing():
    refuse(ExitCode.INVALID, {"tags": np.zeros((2, 3), int)}, {"tags": np.full((2, 3), -100)})


@pytest.mark.parametrize("tags", [np.zeros((2, 4), int), np.zeros((2, 3)), np.zeros(2, int)])
def test_tags_of_other_tokens_or_types_are_refused(tags):
    refuse(ExitCode.MALFORMED, {"tags": tags}, {"tags": np.zeros((2, 3), int)})
    refuse(ExitCode.MALFORMED, {"tags": np.zeros((2, 3), int)}, {"tags": tags})
