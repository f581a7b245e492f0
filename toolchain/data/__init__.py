"""Data sets by name: each module of this package that defines `load` is one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from toolchain.data.dataset import Dataset, Samples, TrainingSamples
from toolchain.errors import usage
from toolchain.project.data_path import change_paths
from toolchain.project.toml_file import Section

__all__ = ["Dataset", "Samples", "TrainingSamples", "change_paths_of", "list_datasets", "load_dataset"]


def list_datasets() -> tuple[str, ...]:
    """Return the names of all data sets, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(name for name in names if hasattr(importlib.import_module(f"{__name__}.{name}"), "load"))


def change_paths_of(name: str, options: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Return the options of a data set with every path among them changed; raises ToolchainError (exit 2)."""
    model = getattr(_find_dataset(name), "Options", Section)
    return change_paths(options, model, change)


def load_dataset(name: str, options: Mapping[str, Any], *, folder: Path | None = None) -> Dataset:
    """Return a data set. folder: what the paths in its options are relative to; None is the working folder.

    Raises ToolchainError: an unknown name or option (exit 2), missing data (exit 3), a corrupt file (exit 23).
    """
    if folder is not None:
        options = change_paths_of(name, options, lambda path: str(folder / path))
    dataset: Dataset = _find_dataset(name).load(options)
    return dataset


def _find_dataset(name: str) -> ModuleType:
    # Of the others nothing is imported: what a result's key says of the code is this one's alone.
    exists = name in {module.name for module in pkgutil.iter_modules(__path__)}
    module = importlib.import_module(f"{__name__}.{name}") if exists else None
    if module is None or not hasattr(module, "load"):
        raise usage(
            f"there is no data set {name}",
            where="data.name",
            expected=f"one of: {', '.join(list_datasets())}",
            found=name,
            fix="correct the name, or add a module with a function load to toolchain/data",
        )
    return module
