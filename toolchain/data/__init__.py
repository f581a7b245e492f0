"""Data sets by name: a module with `load(options)` each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.data.dataset import Dataset, Samples, TrainingSamples
from toolchain.project.members import find_member, load_member
from toolchain.project.seams import DATA_SETS

__all__ = ["Dataset", "Samples", "TrainingSamples", "load_dataset"]


def load_dataset(name: str, options: Mapping[str, Any]) -> Dataset:
    """Return a data set; of the others nothing is imported.

    Raises ToolchainError: an unknown name or option (exit 2), missing data (exit 3), a corrupt file (exit 23).
    """
    dataset: Dataset = load_member(find_member(DATA_SETS, name, where="data.name")).load(options)
    return dataset
