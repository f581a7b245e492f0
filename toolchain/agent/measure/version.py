"""Versions and version requirements: the part of PEP 440 that targets use, since a board has no `packaging`."""

from __future__ import annotations

import operator
import re
from typing import Tuple

from ..errors import ExitCode, ToolchainError

_VERSION = re.compile(
    r"v?(?P<release>\d+(?:\.\d+)*)(?:[.\-_]?(?P<phase>dev|a|b|rc|post)[.\-_]?(?P<number>\d*))?(?:\+[a-z0-9.\-_]+)?",
    re.IGNORECASE,
)
# PEP 440, "Summary of permitted suffixes and relative ordering".
_PHASES = {"dev": 0, "a": 1, "b": 2, "rc": 3, "": 4, "post": 5}
_FINAL = _PHASES[""]

_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}

_Key = Tuple[Tuple[int, ...], int, int]


def _parse_version(text: str, where: str, *, fix: str) -> _Key:
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ToolchainError(
            ExitCode.MALFORMED,
            "this is no version",
            where=where,
            expected="a version such as 1.23.0",
            found=repr(text),
            fix=fix,
        )
    release = [int(part) for part in match["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:  # 1.23 is 1.23.0
        release.pop()
    return tuple(release), _PHASES[(match["phase"] or "").lower()], int(match["number"] or 0)


def matches_version(version: str, requirement: str) -> bool:
    """Return whether a version meets every clause of a requirement such as ">=1.23, !=1.25.1".

    Clauses are >=, <=, ==, !=, > and < of PEP 440, without wildcards; a pre-release takes its place in the order, and
    as PEP 440 says, <1.24 refuses 1.24rc1 and >1.24 refuses 1.24.post1. What follows a + is ignored.
    Raises ToolchainError (exit 23) where either cannot be read.
    """
    found = _parse_version(version, "runtime_version", fix="install a release of the runtime, not a build of one's own")
    for clause in requirement.split(","):
        match = re.fullmatch(r"\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*", clause)
        if match is None:
            raise ToolchainError(
                ExitCode.MALFORMED,
                "the required version cannot be read",
                where="compatible.runtime_version",
                expected="clauses such as >=1.23, joined by commas, of >= <= == != > <",
                found=repr(requirement),
                fix="write comparisons of numbers into runtime_version of the target, such as >=1.23, <2",
            )
        bound = _parse_version(match[2], "compatible.runtime_version", fix="correct runtime_version in the target")
        is_met = _COMPARE[match[1]](found, bound)
        if bound[0] == found[0] and bound[1] == _FINAL and match[1] in ("<", ">"):
            is_met = False
        if not is_met:
            return False
    return True
