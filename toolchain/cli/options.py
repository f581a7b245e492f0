"""The options and arguments that several commands have, and the progress that they show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.project.device import DEVICES_FILE
from toolchain.run.progress import Progress

Model = Annotated[str, typer.Argument(help="A name in models/, the path of a recipe, or an .onnx file.")]
Calibration = Annotated[
    Path | None, typer.Option(help="For an .onnx file: an .npz with one array per input, first axis = samples.")
]
TargetName = Annotated[str, typer.Option("--target", help="A name in targets/, or the path of a TOML file.")]
TargetOfDevice = Annotated[
    str | None,
    typer.Option("--target", help="A name in targets/, or a TOML file; the device's if not given, else cpu."),
]
PrecisionName = Annotated[str | None, typer.Option("--precision", help="Only this one of the target's precisions.")]
DeviceNames = Annotated[
    str | None, typer.Option("--device", help="Boards of devices.toml, as in a,b,c; none is this machine.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the machine's form on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
LatencySamples = Annotated[
    int | None, typer.Option(min=1, help="Samples of each payload; fewer than 64 cannot bound a p90.")
]
LatencyLimit = Annotated[
    float | None, typer.Option(min=0.001, help="Time for the latency in seconds; more helps on a slow or busy board.")
]
DeviceName = Annotated[str, typer.Option("--device", help=f"A device of {DEVICES_FILE}.")]


def show_progress(*, quiet: bool, log: Path | None = None) -> Progress:
    """Return the progress of a command: a bar on a terminal, plain lines elsewhere, all on stderr."""
    return Progress(stream=sys.stderr, quiet=quiet, log_path=log)
