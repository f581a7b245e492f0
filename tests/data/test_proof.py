import numpy as np
import pytest

from toolchain.data.npz import ArraySamples
from toolchain.data.proof import refuse_worthless, warn_of_resolution, warn_of_weakness
from toolchain.data.subset import Subset, halve_samples
from toolchain.data.survey import SAMPLES_MAX, survey_samples
from toolchain.errors import ExitCode, ToolchainError


def draw(count=64, seed=0, **arrays):
    """Return samples of noise, or of the arrays given."""
    noise = np.random.default_rng(seed).normal(size=(count, 3, 4)).astype(np.float32)
    return ArraySamples(arrays=arrays or {"x": noise}, targets={}, sha256=str(seed))


def survey(samples):
    return survey_samples(samples, len(samples))


def warn(calibration, evaluation):
    return " | ".join(warn_of_weakness(survey(calibration), survey(evaluation)))


def test_good_data_has_no_weakness():
    refuse_worthless(survey(draw()), where="here")
    assert warn(draw(seed=1), draw()) == ""


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros((8, 3), np.float32)},
        {"x": np.ones((8, 3), np.uint8)},
        {"x": np.arange(8, dtype=np.int64)[:, None].repeat(3, axis=1)},
        {"x": np.arange(3.0)[None].repeat(8, axis=0), "mask": np.full((8, 2), -np.inf)},
        {"x": np.random.default_rng(0).normal(size=(1, 3))},
    ],
    ids=["zeros", "ones", "one value each", "the same, beside a mask", "one"],
)
def test_samples_on_which_any_model_looks_right_are_exit_20(arrays):
    with pytest.raises(ToolchainError) as caught:
        refuse_worthless(survey(draw(**arrays)), where="here")
    assert caught.value.code == ExitCode.INVALID


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.arange(8, dtype=np.float32)[:, None]},
        {"x": np.arange(8, dtype=np.float32)},
        {"x": np.random.default_rng(0).normal(size=(8, 3)), "state": np.zeros((8, 2))},
        {"x": np.zeros((8, 3)), "mask": np.where(np.random.default_rng(0).random((8, 5)) < 0.5, -np.inf, 0)},
        {"x": np.eye(8, dtype=np.bool_)},
        {"x": 1e-20 * np.random.default_rng(0).normal(size=(8, 3))},
    ],
    ids=["one feature", "scalars", "a constant state", "a mask that changes", "booleans", "small numbers"],
)
def test_samples_that_differ_are_not_refused(arrays):
    refuse_worthless(survey(draw(**arrays)), where="here")


def test_an_input_that_never_changes_is_named():
    noise = np.random.default_rng(0).normal(size=(32, 3))
    samples = draw(x=noise, state=np.zeros((32, 2)))
    assert "input state is the same in all 32" in warn(draw(x=noise + 1, state=np.zeros((32, 2))), samples)


@pytest.mark.parametrize(("copies", "said"), [(6, False), (7, True), (63, True)])
def test_copies_are_said_from_a_tenth_on(copies, said):
    noise = draw().arrays["x"].copy()
    noise[:copies] = noise[63]
    assert (f"{copies} of 64 evaluation samples" in warn(draw(seed=1), draw(x=noise))) == said


@pytest.mark.parametrize(("count", "said"), [(2, True), (15, True), (16, False)])
def test_few_samples_are_said(count, said):
    assert (f"only {count} different" in warn(draw(seed=1), draw(count))) == said


@pytest.mark.parametrize(("labels", "said"), [(np.repeat([0, 1], 32), True), (np.arange(64) % 2, False)])
def test_the_first_samples_of_a_file_that_is_sorted_by_class_are_said(labels, said):
    part = ArraySamples(arrays=draw().arrays, targets={"labels": labels}, sha256="a")
    warnings = " | ".join(warn_of_weakness(survey_samples(part, 20), survey_samples(part, 20)))
    assert ("the first 20 samples, which calibrate, are of 1 of 2 classes" in warnings) == said
    assert ("the first 20 samples, which are evaluated on, are of 1 of 2 classes" in warnings) == said


def test_samples_that_also_calibrated_are_counted():
    both = draw()
    part = Subset(both, np.arange(40, 64))
    assert "24 of 64 evaluation samples (38%) also calibrated" in warn(part, both)
    assert "24 of 24 evaluation samples (100%) also calibrated" in warn(both, part)
    assert "also calibrated" not in warn(*halve_samples(both))


def test_an_outlier_is_named_by_its_number_in_the_file():
    noise = draw().arrays["x"].copy()
    noise[41, 0, 0] = -900
    for calibration in (draw(x=noise), Subset(draw(x=noise), np.arange(30, 64))):
        warnings = warn(calibration, draw(seed=1))
        assert "input x has outliers in the calibration data: sample 41 reaches 900" in warnings


def test_every_outlier_counts_and_three_are_named():
    noise = draw().arrays["x"].copy()
    noise[:20] *= 1000
    warnings = warn(draw(x=noise), draw(seed=1))
    assert warnings.count("times)") == 3
    assert "and 17 more samples" in warnings


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_what_is_as_large_as_real_data_gets_is_no_outlier(scale):
    noise = draw().arrays["x"].copy()
    noise[5] *= scale
    assert "outliers" not in warn(draw(x=noise), draw(seed=1))


@pytest.mark.parametrize("arrays", [{"x": np.zeros((32, 4), np.float32)}, {"x": np.arange(1, 2)}])
def test_samples_that_all_calibrate_alike_are_said(arrays):
    assert "ranges of int8 hold for nothing else" in warn(draw(**arrays), draw(**arrays))


@pytest.mark.parametrize(
    ("samples", "limit", "said"), [(20, 0.01, True), (100, 0.01, False), (99, 0.01, True), (20, None, False)]
)
def test_a_limit_finer_than_one_sample_is_said(samples, limit, said):
    assert bool(list(warn_of_resolution(samples, limit))) == said


def test_of_very_many_samples_some_are_looked_at_everywhere():
    seen = survey(draw(x=np.arange(10_000.0)[:, None]))
    assert (seen.count, len(seen.indices)) == (10_000, SAMPLES_MAX)
    assert (seen.indices[0], seen.indices[-1]) == (0, 9999)
    assert len(set(seen.indices.tolist())) == SAMPLES_MAX


def test_halves_share_nothing_and_hold_every_class_alike():
    labels = np.arange(64) % 4
    samples = ArraySamples(arrays={"x": np.arange(64.0)}, targets={"labels": labels}, sha256="a")
    first, second = halve_samples(samples)
    assert sorted([*first.indices, *second.indices]) == list(range(64))
    assert (
        np.bincount(first.targets["labels"]).tolist() == np.bincount(second.targets["labels"]).tolist() == [8, 8, 8, 8]
    )
    assert second.batch(0, 4)["x"].tolist() == second.indices[:4].tolist()
    assert first.sha256 != second.sha256
    again = halve_samples(samples)
    assert again[0].indices.tolist() == first.indices.tolist()


def test_halves_of_classes_with_odd_counts_still_share_every_sample_between_them():
    samples = ArraySamples(
        arrays={"x": np.arange(19.0)}, targets={"labels": np.repeat([0, 1, 2], [7, 7, 5])}, sha256="a"
    )
    first, second = halve_samples(samples)
    assert (len(first), len(second)) == (10, 9)
    assert abs(np.bincount(first.targets["labels"]) - np.bincount(second.targets["labels"])).max() <= 1
