"""The options and arguments that several commands have, and the progress that they show."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from toolchain.agent.measure.settings import MeasureSettings
from toolchain.cli.completion import suggest_devices, suggest_models, suggest_targets
from toolchain.errors import ToolchainError
from toolchain.project.device import DEVICES_FILE
from toolchain.run.progress import Progress

Model = Annotated[
    str,
    typer.Argument(help="A name in models/, the path of a recipe, or an .onnx file.", autocompletion=suggest_models),
]
ModelOrBundle = Annotated[
    str,
    typer.Argument(
        help="A name in models/, the path of a recipe, an .onnx file; or the folder of a bundle that was made elsewhere.",
        autocompletion=suggest_models,
    ),
]
Calibration = Annotated[
    Path | None, typer.Option(help="For an .onnx file: an .npz with one array per input, first axis = samples.")
]
TargetName = Annotated[
    str,
    typer.Option("--target", help="A name in targets/, or the path of a TOML file.", autocompletion=suggest_targets),
]
TargetOfDevice = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="A name in targets/, or a TOML file; the device's if not given, else cpu.",
        autocompletion=suggest_targets,
    ),
]
PrecisionName = Annotated[str | None, typer.Option("--precision", help="Only this one of the target's precisions.")]
DeviceNames = Annotated[
    str | None,
    typer.Option(
        "--device", help="Boards of devices.toml, as in a,b,c; none is this machine.", autocompletion=suggest_devices
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the machine's form on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
DeviceName = Annotated[
    str, typer.Option("--device", help=f"A device of {DEVICES_FILE}.", autocompletion=suggest_devices)
]


def _check_setting(parameter: typer.CallbackParam, value: Any) -> Any:
    if value is not None and parameter.name is not None:
        try:
            MeasureSettings(**{parameter.name: value})
        except ToolchainError as error:
            raise typer.BadParameter(f"expected {error.expected}, found {error.found}") from error
    return value


def _option(text: str) -> Any:
    return typer.Option(help=text, callback=_check_setting)


# The options of MeasureSettings, by the name of the field.
SETTINGS = {
    "latency_samples": Annotated[int | None, _option("Samples of each payload; fewer than 64 cannot bound a p90.")],
    "latency_limit_s": Annotated[
        float | None, _option("Time for the latency in seconds; more helps on a slow or busy board.")
    ],
    "start_processes": Annotated[
        int | None,
        _option("Fresh processes for memory and the time to the first answer; fewer than 8 cannot bound that."),
    ],
}


def take_settings(command: Callable[..., int]) -> Callable[..., int]:
    """Return a command that has the options of SETTINGS in place of its own keyword `settings`."""
    signature = inspect.signature(command, eval_str=True)
    parameters = [parameter for name, parameter in signature.parameters.items() if name != "settings"]
    for name, annotation in SETTINGS.items():
        parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    @functools.wraps(command)
    def run(**options: Any) -> int:
        given = {name: options.pop(name) for name in SETTINGS}
        chosen = {name: value for name, value in given.items() if value is not None}
        return command(**options, settings=MeasureSettings(**chosen))

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def show_progress(*, quiet: bool, log: Path | None = None) -> Progress:
    """Return the progress of a command: a bar on a terminal, plain lines elsewhere, all on stderr."""
    return Progress(stream=sys.stderr, quiet=quiet, log_path=log)
