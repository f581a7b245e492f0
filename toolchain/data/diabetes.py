"""The diabetes table of Efron et al. (2004), "Least Angle Regression": 442 patients, ten measurements each.

What is to be told is how far the disease has gone a year later. Columns: age, sex, body mass index, blood pressure, six
blood values. The file lies in this folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.dataset import Dataset, hash_files
from toolchain.data.npz import ArraySamples
from toolchain.errors import malformed
from toolchain.project.npz_file import read_arrays
from toolchain.project.toml_file import Section, check_table

FILE = Path(__file__).with_name("diabetes.npz")
"""Made by `python -m toolchain.data.make_diabetes`."""
VALUES = "values"
LICENCE = "BSD-3-Clause, as a part of scikit-learn"

_INPUT = "input"
_ROWS = 442
_TRAIN_ROWS = 292
_SPLIT = f"rows shuffled by seed 0, the first {_TRAIN_ROWS} to train; mean 0 and deviation 1 over them"


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the table, 292 rows to learn from and 150 others to evaluate on; it has no options."""
    check_table(Section, options, what="the options of diabetes", where="data.options")
    arrays = read_arrays(FILE)
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != {_INPUT: (_ROWS, 10), VALUES: (_ROWS,)}:
        raise malformed(
            "the table is not the one that the toolchain brings",
            where=str(FILE),
            expected=f"{_INPUT} ({_ROWS}, 10), {VALUES} ({_ROWS},)",
            found=", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no arrays",
            fix="install the toolchain again, which brings this file",
        )
    order = np.random.default_rng(0).permutation(_ROWS)
    train_rows = order[:_TRAIN_ROWS]
    columns = {name: _standardize(array, train_rows) for name, array in arrays.items()}

    def take_part(part: str, rows: NDArray[np.int64]) -> ArraySamples:
        return ArraySamples(
            arrays={_INPUT: columns[_INPUT][rows]},
            targets={VALUES: columns[VALUES][rows]},
            sha256=hash_files(f"diabetes {part}: {_SPLIT}", [FILE]),
        )

    train = take_part("train", train_rows)
    return Dataset(
        name="diabetes",
        train=train,
        calibration=train,
        evaluation=take_part("test", order[_TRAIN_ROWS:]),
        classes=None,
        licence=LICENCE,
    )


def _standardize(column: NDArray[Any], train_rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return a column with mean 0 and deviation 1 over the rows to train; the test rows say nothing of either."""
    known = column[train_rows].astype(np.float64)
    standard: NDArray[np.float32] = ((column - known.mean(axis=0)) / known.std(axis=0)).astype(np.float32)
    return standard
