"""What is wrong in the files of a data set: all of it is counted, the first of it named, and one error says so."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from toolchain.errors import usage

# Of all that is wrong, so much is named.
_NAMED = 3
# A cell or a name may have megabytes.
_SHOWN = 80


@dataclass(frozen=True)
class Kind:
    """One way in which data are wrong."""

    what: str
    """Of one of them, with an article."""
    fix: str


@dataclass(frozen=True)
class _Fault:
    place: str
    expected: str
    found: str


class Faults:
    """Collects what is wrong while files are read, so that nobody mends a file fault by fault."""

    def __init__(self) -> None:
        self._counts: Counter[Kind] = Counter()
        self._named: list[_Fault] = []

    def add(self, kind: Kind, place: str, *, expected: str, found: object) -> None:
        """Count a fault; place: the file, and the row where it has some."""
        self._counts[kind] += 1
        if len(self._named) < _NAMED:
            # Of JSON, found may be lists within lists, which are not written out.
            shown = found if isinstance(found, str) else reprlib.repr(found)
            self._named.append(_Fault(place, clip(expected), clip(shown)))

    def take(self, other: Faults) -> None:
        """Count what another has found too."""
        self._counts.update(other._counts)
        self._named.extend(other._named[: _NAMED - len(self._named)])

    def __bool__(self) -> bool:
        return bool(self._counts)

    def refuse(self) -> None:
        """Raise ToolchainError (exit 2) where there is any."""
        total = self._counts.total()
        if not total:
            return
        named = [f"{fault.place}: {fault.found}" for fault in self._named]
        rest = total - len(named)
        raise usage(
            f"the data have {total} fault{'s' if total > 1 else ''}: "
            + ", ".join(f"{kind.what} ({count})" for kind, count in self._counts.items()),
            where="data.options",
            expected=_join(fault.expected for fault in self._named),
            found="; ".join(named) + (f"; and {rest} more" if rest else ""),
            fix=_join(kind.fix for kind in self._counts),
        )


def refuse_without(count: int, *, what: str, where: str) -> None:
    """Raise ToolchainError (exit 2) for a part that has none of what is looked for."""
    if count == 0:
        raise usage(
            f"no sample has a {what}",
            where=where,
            expected=f"at least one {what}: without any, nothing is learned or measured",
            found="none",
            fix="bring the labels of these samples, or samples that have some",
        )


def clip(text: str) -> str:
    """Return a text, or its beginning where it is long."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _join(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
