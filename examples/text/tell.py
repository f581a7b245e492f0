"""Tells what texts are: of models/language, which language they are in.

    python tell.py ROOT TEXT...
    python tell.py ROOT < FILE

Needs edge-toolchain-app alone. The model on the board takes texts as they are, because its bundle has the tokenizer that it was
trained with, and answers with a score for each class. Without TEXT each line of what is read from stdin is one.
"""

from __future__ import annotations

import argparse
import sys

from edge_app import FrameError, ToolchainError, open_current


def main() -> int:
    """Return the exit code: 0, or that of the error (docs/boards.md)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root")
    parser.add_argument("texts", nargs="*")
    given = parser.parse_args()
    sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    try:
        with open_current(given.root) as model:
            for text in given.texts or (line.rstrip("\n") for line in sys.stdin):
                try:
                    scores = next(iter(model(text).values()))
                except FrameError as error:  # such as bytes that were no UTF-8: the next one may be a text again
                    print(error, file=sys.stderr)  # noqa: T201
                    continue
                best = int(scores.argmax())
                name = model.classes[best] if best < len(model.classes) else f"class {best}"
                print(f"{name}  {scores[best]:.2f}  {text}")  # noqa: T201
    except ToolchainError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return int(error.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
