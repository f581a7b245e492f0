"""Writes every bad file, and the good one of each family, into a folder of its own: DIR/FAMILY/KIND/model.onnx."""

import argparse
import sys
from pathlib import Path

from tests.hostile_models import FAMILIES
from tests.hostile_models.calibration import write_calibration
from tests.hostile_models.family import write


def run() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    count = 0
    for family in FAMILIES:
        for name, make in (("good", family.good), *((kind.name, kind.make) for kind in family.kinds)):
            place = folder / family.name / name
            place.mkdir(parents=True)
            write(make, place / "model.onnx")
            count += 1
    write_calibration(folder / "calib.npz")
    sys.stdout.write(f"{count} files in {folder}; calibration data for all of them in calib.npz\n")
    return 0


if __name__ == "__main__":
    sys.exit(run())
