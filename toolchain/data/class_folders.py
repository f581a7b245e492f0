"""Files in a folder for each class: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.data.dataset import interleave_classes
from toolchain.data.list_files import check_file
from toolchain.errors import missing, usage
from toolchain.run.names import check_path


@dataclass(frozen=True)
class Files:
    """What lies in the folders."""

    what: str
    """One of them, with an article."""
    plural: str
    suffixes: frozenset[str]


def list_classes(folder: Path, files: Files) -> tuple[str, ...]:
    """Return the classes: the names of the folders in train, sorted.

    Raises ToolchainError: no such folders (exit 3), none in them, or others in test (exit 2).
    """
    classes, test_classes = (_list_folders(folder / part, files) for part in ("train", "test"))
    if test_classes != classes:
        raise usage(
            "train and test have different classes",
            where=str(folder),
            expected="the same folders in both",
            found="only in one: " + ", ".join(sorted(set(classes) ^ set(test_classes))),
            fix=f"make a folder of {files.plural} for these classes in the other part, or remove them from both",
        )
    return classes


def _list_folders(folder: Path, files: Files) -> tuple[str, ...]:
    if not folder.is_dir():
        raise missing(
            f"there is no folder {folder}",
            fix=f"put the {files.plural} into FOLDER/train/CLASS/ and FOLDER/test/CLASS/ and set options = {{ folder = … }} "
            "for the data in the recipe",
        )
    classes = tuple(sorted(check_path(entry, "a class").name for entry in folder.iterdir() if entry.is_dir()))
    if not classes:
        raise usage(
            "the folder holds no classes",
            where=str(folder),
            expected="one folder per class",
            fix=f"put the {files.plural} of each class into a folder of its name",
        )
    if classes[0].startswith("."):
        raise usage(
            "a hidden folder is no class",
            where=str(folder / classes[0]),
            expected="one folder per class, none of which begins with a dot",
            found=classes[0],
            fix="remove it: tools leave such folders, and as a class it would change the numbers of all others",
        )
    return classes


def list_class_files(folder: Path, classes: Sequence[str], files: Files) -> tuple[list[Path], NDArray[np.int64]]:
    """Return the files of a part with the classes in turn, and the class of each `(N,)`.

    Raises ToolchainError (exit 2): a class without files, what is a file by its name alone, a name that is no UTF-8.
    """
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            check_path(path, files.what) for path in (folder / name).iterdir() if path.suffix.lower() in files.suffixes
        )
        if not found:
            raise usage(
                f"a class has no {files.plural}",
                where=str(folder / name),
                expected=f"files {', '.join(sorted(files.suffixes))}",
                fix=f"put {files.plural} into it, or remove the folder from train and test",
            )
        for path in found:
            check_file(path, files.what)
        paths += found
        labels += [label] * len(found)
    order = interleave_classes(np.array(labels, dtype=np.int64))
    return [paths[index] for index in order], np.array(labels, dtype=np.int64)[order]
