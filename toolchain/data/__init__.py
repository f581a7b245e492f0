"""Data sets by name: each module of this package that defines `load` is one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from toolchain.data.dataset import Dataset, Samples, TrainingSamples
from toolchain.errors import usage

__all__ = ["Dataset", "Samples", "TrainingSamples", "list_datasets", "load_dataset"]


def list_datasets() -> tuple[str, ...]:
    """Return the names of all data sets, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(name for name in names if hasattr(importlib.import_module(f"{__name__}.{name}"), "load"))


def load_dataset(name: str, options: Mapping[str, Any]) -> Dataset:
    """Return a data set.

    Raises ToolchainError: an unknown name or option (exit 2), missing data (exit 3), a corrupt file (exit 23).
    """
    # Of the others nothing is imported: what a result's key says of the code is this one's alone.
    exists = name in {module.name for module in pkgutil.iter_modules(__path__)}
    load = getattr(importlib.import_module(f"{__name__}.{name}"), "load", None) if exists else None
    if load is None:
        raise usage(
            f"there is no data set {name}",
            where="data.name",
            expected=f"one of: {', '.join(list_datasets())}",
            found=name,
            fix="correct the name, or add a module with a function load to toolchain/data",
        )
    dataset: Dataset = load(options)
    return dataset
