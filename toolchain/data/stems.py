"""Files that belong together by their names: a picture in one folder, what is known of it in another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolchain.data.faults import Faults, Kind

_TWICE = Kind("two files of one stem", "rename one of them, and what belongs to it")
_ALONE = Kind("labels of a picture that is not there", "bring the picture, or remove its labels")


def pair_stems(
    folder: Path, paths: Sequence[Path], labels: Path, found: Sequence[Path], faults: Faults
) -> dict[Path, Path]:
    """Return what is found in `labels` for each of the paths in `folder`; the path without its suffix is the same in both.

    Two of one stem, and labels without a picture, go to the faults.
    """
    pictures = _map_stems(folder, paths, faults)
    for stem, path in (known := _map_stems(labels, found, faults)).items():
        if stem not in pictures:
            faults.add(_ALONE, str(path), expected=f"a picture {folder / stem}.*", found="none")
    return {path: known[stem] for stem, path in pictures.items() if stem in known}


def _map_stems(folder: Path, paths: Sequence[Path], faults: Faults) -> dict[Path, Path]:
    stems: dict[Path, Path] = {}
    for path in paths:
        other = stems.setdefault(path.relative_to(folder).with_suffix(""), path)
        if other != path:
            faults.add(_TWICE, str(path), expected="a stem that no other file has", found=f"that of {other.name}")
    return stems
