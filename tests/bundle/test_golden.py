import numpy as np
import pytest

from toolchain.bundle.golden import read_golden_outputs, write_golden_outputs
from toolchain.errors import ExitCode, ToolchainError

SCORES = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


def write(folder, scores):
    batches = [({}, {"scores": scores[:4]}), ({}, {"scores": scores[4:]})]
    write_golden_outputs(folder, batches, samples=6, stacked=False, scoring=None, targets={})
    return read_golden_outputs(folder).outputs["scores"]


def test_masked_outputs_are_kept_as_they_are(tmp_path):
    masked = SCORES.copy()
    masked[:, 1] = -np.inf
    np.testing.assert_array_equal(write(tmp_path, masked), masked)


def test_a_nan_is_refused_with_its_output_and_sample(tmp_path):
    broken = SCORES.copy()
    broken[5, 1] = np.nan
    with pytest.raises(ToolchainError) as caught:
        write(tmp_path, broken)
    assert caught.value.code == ExitCode.PARITY
    assert caught.value.where == "output scores, sample 5"


def test_an_output_without_a_finite_value_is_refused(tmp_path):
    with pytest.raises(ToolchainError, match="infinite everywhere") as caught:
        write(tmp_path, np.full_like(SCORES, -np.inf))
    assert caught.value.code == ExitCode.PARITY
