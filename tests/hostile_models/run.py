"""`make fuzz`: every bad file through `toolchain lower`, the slow ones too; says what ended as it must not, exits with 1 then."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile_models import FAMILIES
from tests.hostile_models.drive import lower

_SHOWN = 300


def run() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verbose", action="store_true", help="say of each how it ended")
    parser.add_argument("names", nargs="*", help="FAMILY or FAMILY/KIND (default: all)")
    options = parser.parse_args()
    count = broken = 0
    worst_s, worst_bytes = 0.0, 0
    for family in FAMILIES:
        cases = [("good", family.good, {0}), *((kind.name, kind.make, kind.codes) for kind in family.kinds)]
        for name, make, codes in cases:
            place = f"{family.name}/{name}"
            if options.names and family.name not in options.names and place not in options.names:
                continue
            with tempfile.TemporaryDirectory() as folder:
                ending = lower(make, Path(folder))
            faults = ending.find_faults(codes)
            count, broken = count + 1, broken + bool(faults)
            if name != "good":
                worst_s, worst_bytes = max(worst_s, ending.cpu_s), max(worst_bytes, ending.memory_bytes)
            if faults or options.verbose:
                said = " ".join(ending.messages.split())[-_SHOWN:]
                sys.stdout.write(
                    f"{'BROKEN' if faults else 'as it must'} {place}: {'; '.join(faults) or ending.code}"
                    f" ({ending.cpu_s:.1f} s, {ending.memory_bytes >> 20} MiB) {said!r}\n"
                )
                sys.stdout.flush()
    sys.stdout.write(f"{count} files, {broken} broken; at most {worst_s:.1f} s of CPU time, {worst_bytes >> 20} MiB\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(run())
