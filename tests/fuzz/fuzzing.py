"""Runs a reader over drawn bytes, as many or as long as wanted."""

import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.mutations import mutate
from tests.fuzz.reader import HANG_S, Reader, read

# After a failure the smallest one like it is looked for; a slow reader's is told as it was found.
_PHASES = (Phase.generate, Phase.shrink)


def fuzz(reader: Reader, *, examples: int, number: int, hang_s: float = HANG_S) -> None:
    """Let a reader read so many examples; `number` draws which. Raises reader.Broken for the smallest that breaks it."""

    @seed(number)
    @settings(
        max_examples=examples,
        phases=_PHASES[:1] if reader.is_slow else _PHASES,
        derandomize=False,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutate(reader.seeds))
    def take(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            read(reader, data, Path(folder), hang_s=hang_s)

    take()


def fuzz_for(reader: Reader, *, duration_s: float, number: int) -> int:
    """Do so until the time is over; return how many examples there were."""
    examples, done, end_s = 10 if reader.is_slow else 200, 0, time.monotonic() + duration_s
    while time.monotonic() < end_s:
        fuzz(reader, examples=examples, number=number + done)
        done += examples
    return done
