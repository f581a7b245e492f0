"""Answers an application on the board: is the active release what was proven, and does its verdict still hold?

    python3 ROOT/still_proven.py ROOT

(a link to this file in the board's own agent, whatever release is active) prints one line and exits with 0, or with 25 where the verdict expired, 11 where the payload is not the proven one, 2
where no release is active. The standard library is enough, and nothing is measured or written. It asks the Python that
measured: another one may have another runtime.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import List

_USAGE = 2
# Given to the Python that measured, so that a path that comes back under another name is not asked for ever.
_ASKED = "--asked"


def main(arguments: List[str]) -> int:
    """Print the answer for the ROOT in the arguments and return the exit code."""
    roots = [argument for argument in arguments if argument != _ASKED]
    if len(roots) != 1:
        sys.stderr.write("usage: python3 still_proven.py ROOT\n")
        return _USAGE
    # A file in the agent's code that is none of it is damage: such as Python's bytecode.
    sys.dont_write_bytecode = True
    own = Path(__file__).resolve()
    agent = own.parent.parent
    # Not this file's own folder, where Python starts to look: its names would hide those of others.
    sys.path = [str(agent.parent), *(path for path in sys.path if Path(path).resolve() != own.parent)]
    answer = importlib.import_module(f"{agent.name}.install.answer")
    python = answer.find_python(roots[0])
    if python not in (None, sys.executable) and _ASKED not in arguments and os.access(python, os.X_OK):
        flags = ["-I", "-B"] if sys.flags.isolated else ["-B"]
        os.execv(python, [python, *flags, str(own), roots[0], _ASKED])  # noqa: S606 - there is nothing for a shell to do
    code, line = answer.answer_application(roots[0])
    sys.stdout.buffer.write((line + "\n").encode("utf-8"))
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
