"""`make fuzz`: every reader for an equal share of the time; says which bytes broke which, and exits with 1 then."""

import argparse
import secrets
import sys

from tests.fuzz.fuzzing import fuzz_for
from tests.fuzz.readers import READERS

_SHOWN = 400


def say(text: str) -> None:
    """Print at once: a run takes minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def shorten(note: str) -> str:
    """Return the lines of a note, of which each may be thousands of brackets; --number brings all of it back."""
    return "\n".join(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..." for line in note.splitlines())


def run() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="in all (default %(default)s)")
    parser.add_argument("--number", type=int, help="repeats a run: the number that it printed")
    parser.add_argument("names", nargs="*", help="of readers (default: all)")
    options = parser.parse_args()
    number = secrets.randbelow(2**31) if options.number is None else options.number
    readers = [reader for reader in READERS if not options.names or reader.name in options.names]
    say(f"{len(readers)} readers, {options.seconds:g} s in all, number {number}")
    broken = 0
    for reader in readers:
        try:
            done = fuzz_for(reader, duration_s=options.seconds / len(readers), number=number)
            say(f"{reader.name}: {done} examples")
        except Exception as error:  # noqa: BLE001 - the others are to be tried too
            broken += 1
            say("\n".join([f"BROKEN {error}", *map(shorten, getattr(error, "__notes__", ()))]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(run())
