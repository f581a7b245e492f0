"""Data sets by name: a module with `load(options)` each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolchain.data.dataset import Dataset, Samples, TrainingSamples
from toolchain.errors import usage
from toolchain.project.data_path import change_paths
from toolchain.project.members import Member, blame_member, find_member, load_member
from toolchain.project.seams import DATA_SETS
from toolchain.project.toml_file import Section

__all__ = ["Dataset", "Samples", "TrainingSamples", "change_paths_of", "load_dataset"]


def change_paths_of(name: str, options: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Return the options of a data set with every path among them changed; raises ToolchainError (exit 2)."""
    model = getattr(load_member(_find(name)), "Options", Section)
    return change_paths(options, model, change)


def load_dataset(name: str, options: Mapping[str, Any], *, folder: Path | None = None) -> Dataset:
    """Return a data set; of the others nothing is imported.

    folder: what the paths in its options are relative to; None is the working folder.
    Raises ToolchainError: an unknown name or option (exit 2), missing data (exit 3), a corrupt file (exit 23).
    """
    if folder is not None:
        options = change_paths_of(name, options, lambda path: str(folder / path))
    member = _find(name)
    module = load_member(member)
    with blame_member(member):
        dataset = module.load(options)
    if not isinstance(dataset, Dataset):
        raise usage(
            f"the data set {name} is none",
            where=member.place,
            expected="a toolchain.data.dataset.Dataset from load",
            found=type(dataset).__name__,
            fix=f"return one in {member.path}",
        )
    return dataset


def _find(name: str) -> Member:
    return find_member(DATA_SETS, name, where="data.name")
