"""A family of bad files: what is wrong with each, and a good file that is like them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from toolchain.errors import ExitCode

REFUSED = frozenset({ExitCode.USAGE, ExitCode.PARITY, ExitCode.MALFORMED})

Content = onnx.ModelProto | bytes | None
"""Of the file; None where the maker put something at the path itself, or nothing."""
Maker = Callable[[Path], Content]
"""Takes the path of the file, beside which it may put others."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One bad file. `why`: what it attacks."""

    name: str
    why: str
    make: Maker
    codes: frozenset[ExitCode] = REFUSED
    is_slow: bool = False
    """It takes seconds to be refused, or to be made: `make fuzz` tries it, the tests do not."""


@dataclass
class Family:
    """Kinds of bad file of one sort, and the maker of a good one: it must pass, so that the check can fail."""

    name: str
    good: Maker
    kinds: list[Kind] = field(default_factory=list)

    def kind(
        self, why: str, *, name: str | None = None, is_slow: bool = False, codes: Iterable[ExitCode] = REFUSED
    ) -> Callable[[Maker], Maker]:
        """Return a decorator that adds a maker as a kind, under its own name or another."""

        def add(make: Maker) -> Maker:
            self.add(name or make.__name__.strip("_"), why, make, is_slow=is_slow, codes=codes)
            return make

        return add

    def add(
        self, name: str, why: str, make: Maker, *, is_slow: bool = False, codes: Iterable[ExitCode] = REFUSED
    ) -> None:
        """Add a kind."""
        self.kinds.append(Kind(name=name, why=why, make=make, is_slow=is_slow, codes=frozenset(codes)))


def write(make: Maker, path: Path) -> None:
    """Put what a maker makes at a path."""
    content = make(path)
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
