import io

import numpy as np
import pytest

from toolchain.data import diabetes, load_dataset
from toolchain.errors import ExitCode, ToolchainError


def test_no_row_is_in_both_parts_and_none_is_lost():
    dataset = load_dataset("diabetes", {})
    train, test = (part.batch(0, len(part))["input"] for part in (dataset.train, dataset.evaluation))
    assert (train.shape, test.shape) == ((292, 10), (150, 10))
    assert len({row.tobytes() for row in np.concatenate([train, test])}) == 442


def test_the_test_rows_say_nothing_of_the_scale():
    train, test = (load_dataset("diabetes", {}).train, load_dataset("diabetes", {}).evaluation)
    for array in (train.arrays["input"], train.targets["values"]):
        assert np.allclose(array.mean(axis=0), 0, atol=1e-5)
        assert np.allclose(array.std(axis=0), 1, atol=1e-5)
    assert not np.allclose(test.arrays["input"].mean(axis=0), 0, atol=1e-5)


def test_its_licence_lies_beside():
    text = diabetes.FILE.with_name("diabetes.LICENSE.txt").read_text()
    assert "BSD 3-Clause License" in text
    assert "scikit-learn developers" in text


def test_it_is_what_scikit_learn_carries():
    pytest.importorskip("sklearn")
    from toolchain.data.make_diabetes import make_archive

    made = np.load(io.BytesIO(make_archive()))
    kept = np.load(diabetes.FILE)
    assert made.files == kept.files
    assert all(np.array_equal(made[name], kept[name]) for name in kept.files)


def test_a_table_of_another_size_is_a_broken_file(tmp_path, monkeypatch):
    path = tmp_path / "diabetes.npz"
    np.savez(path, input=np.zeros((441, 10), np.float32), values=np.zeros(441, np.float32))
    monkeypatch.setattr(diabetes, "FILE", path)
    with pytest.raises(ToolchainError) as caught:
        load_dataset("diabetes", {})
    assert caught.value.code is ExitCode.MALFORMED
    assert "(441, 10)" in caught.value.found
