"""How much a folder takes: `python -m tests.wheel.size FOLDER` prints it in MB, and what takes most of it."""

import os
import sys
from pathlib import Path

_LISTED = 8


def measure_size(folder: Path) -> int:
    """Return the bytes of the regular files in a folder, each counted once, whatever its names; links are not followed."""
    sizes = {}
    for top, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(Path(top, name))
            if not Path(top, name).is_symlink():
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def main() -> None:
    """Print the size of a folder, and of the largest packages in it."""
    folder = Path(sys.argv[1])
    packages = {path: measure_size(path) for path in folder.glob("lib/python*/site-packages/*/")}
    for path in sorted(packages, key=packages.get, reverse=True)[:_LISTED]:
        print(f"{packages[path] / 1e6:6.1f} MB  {path.name}")  # noqa: T201
    print(f"{measure_size(folder) / 1e6:6.1f} MB  in all")  # noqa: T201


if __name__ == "__main__":
    main()
