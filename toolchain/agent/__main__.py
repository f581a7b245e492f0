"""The command of what measures: `python -B -m agent verify .` in a bundle, `python -m toolchain.agent verify BUNDLE` on a host.

-B keeps Python from adding its bytecode to the bundle, which then would hold files that its manifest does not list. One
JSON object goes to stdout, progress lines as JSON to stderr; the exit code is the verdict's. What installs has a command
of its own (install/__main__.py), which no bundle has.
"""

from __future__ import annotations

import json
import sys
from typing import Sequence

from .command import Answer, answer_command, report_progress
from .errors import ExitCode, ToolchainError
from .measure.arguments import build_parser
from .measure.members import register_argument


def _verify(arguments: Sequence[str]) -> Answer:
    options = build_parser().parse_args(arguments)
    for member in options.member:
        register_argument(member)
    from .measure.machine_speed import find_speed_memory
    from .measure.verify import verify_bundle

    samples_path = options.samples
    if samples_path is not None and options.bundle.resolve() in samples_path.resolve().parents:
        what = "the samples would become a part of the bundle"
        raise ToolchainError(ExitCode.USAGE, what, where=str(samples_path), fix="name a file outside of the bundle")
    verification = verify_bundle(
        options.bundle,
        on_progress=report_progress,
        settings=options.settings,
        pinned=options.pinned,
        speed_memory=options.speed_memory or find_speed_memory(options.bundle),
        engines=options.engines,
    )
    if samples_path is not None:
        samples_path.write_text(json.dumps(verification.samples_ms), encoding="utf-8")
    return verification.judgement.exit_code, verification.describe()


def main(arguments: Sequence[str]) -> int:
    """Run `verify`; print its JSON object and return the exit code."""
    return answer_command(_verify, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
