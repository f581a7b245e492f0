import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    wanted = generator.integers(0, 4, (count, 6, 5))
    found = (
        wanted
        if perfect
        else np.where(generator.random(wanted.shape) < 0.6, wanted, generator.integers(0, 4, wanted.shape))
    )
    return {"mask": found}, {"mask": np.where(generator.random(wanted.shape) < 0.1, 255, wanted).astype(np.uint8)}


def measure(outputs, targets):
    tally = find_metric("miou").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_torchmetrics(seed):
    outputs, targets = draw(np.random.default_rng(seed), 20, perfect=False)
    reference = MulticlassJaccardIndex(num_classes=4, average="macro", ignore_index=255).double()
    reference.set_dtype(torch.float64)
    reference.update(torch.from_numpy(outputs["mask"]), torch.from_numpy(targets["mask"].astype(np.int64)))
    # torchmetrics sums in float32.
    assert measure(outputs, targets) == pytest.approx(float(reference.compute()), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_scikit_learns_to_the_last_digits(seed):
    outputs, targets = draw(np.random.default_rng(seed), 20, perfect=False)
    counts = targets["mask"] != 255
    expected = jaccard_score(targets["mask"][counts], outputs["mask"][counts], average="macro")
    assert measure(outputs, targets) == pytest.approx(expected, abs=1e-9)


def test_the_number_that_is_ignored_is_an_option():
    tally = find_metric("miou", {"ignore": 0}).start()
    tally.add({"mask": np.array([[[1, 2, 2]]])}, {"mask": np.array([[[1, 2, 0]]])})
    assert tally.compute() == 1.0


def test_a_class_that_is_answered_and_nowhere_true_is_wrong():
    found, wanted = np.array([[[0, 1, 2]]]), np.array([[[0, 1, 1]]])
    assert measure({"mask": found}, {"mask": wanted}) == pytest.approx((1 + 1 / 2) / 3)


def test_a_class_number_however_large_is_one_class():
    assert measure({"mask": np.array([[[1, 2**40]]])}, {"mask": np.array([[[1, 2**41]]])}) == pytest.approx(1 / 3)


def test_pictures_of_which_nothing_counts_prove_nothing():
    refuse(ExitCode.INVALID, {"mask": np.zeros((2, 3, 3), int)}, {"mask": np.full((2, 3, 3), 255)})
    refuse(ExitCode.INVALID, {"mask": np.zeros((2, 0, 3), int)}, {"mask": np.zeros((2, 0, 3), int)})


@pytest.mark.parametrize("mask", [np.zeros((2, 3, 4), int), np.zeros((2, 3, 3)), np.zeros((2, 1, 3, 3), int)])
def test_masks_of_another_size_or_type_are_refused(mask):
    refuse(ExitCode.MALFORMED, {"mask": np.zeros((2, 3, 3), int)}, {"mask": mask})
    refuse(ExitCode.MALFORMED, {"mask": mask}, {"mask": np.zeros((2, 3, 3), int)})


def test_a_pixel_without_an_answer_is_not_right_where_the_target_is_none_either():
    assert measure({"mask": np.array([[[0, -1]]])}, {"mask": np.array([[[0, -1]]])}) == 0.5


def test_pixels_of_one_class_alone_prove_nothing():
    refuse(ExitCode.INVALID, {"mask": np.zeros((2, 3, 3), int)}, {"mask": np.zeros((2, 3, 3), int)})
