"""The settings of a measurement: one record from the command line to where each is used, one JSON object between processes.

A new one is a field here, an option in cli/options.py and its use. A default is a contract: what is at its default is not
sent, so that the agent of a release that is older or newer than the one that calls it measures all the same. What such an
agent does not know and somebody asked for, it refuses.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, List

from ..decode import decode, parse_json
from ..errors import ExitCode, ToolchainError

_OPTION = "--settings"


@dataclass(frozen=True)
class MeasureSettings:
    """How much is spent on measuring. Raises ToolchainError (exit 2) for a number with which nothing can be measured."""

    latency_samples: int = 1000
    """At least so many of each payload."""
    latency_limit_s: float = 20.0
    """Time for all of them."""
    start_processes: int = 8
    """So many fresh processes load the payload for its memory and the time to the first answer; of the first no time counts."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < float("inf"):
                what, fix = "nothing can be measured with this setting", "give another number, or leave it out"
                raise ToolchainError(
                    ExitCode.USAGE, what, where=name, expected="a number above 0", found=str(value), fix=fix
                )


DEFAULTS = MeasureSettings()


def list_chosen(settings: MeasureSettings) -> Dict[str, Any]:
    """Return the settings that are not at their default, by name."""
    defaults = {field.name: field.default for field in fields(settings)}
    return {name: value for name, value in asdict(settings).items() if value != defaults[name]}


def list_arguments(settings: MeasureSettings) -> List[str]:
    """Return what tells an agent the settings on its command line."""
    chosen = list_chosen(settings)
    return [_OPTION, json.dumps(chosen, sort_keys=True)] if chosen else []


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Let a command of the agent take what list_arguments returns, as `settings`."""
    help_text = f"a JSON object, such as {json.dumps(asdict(DEFAULTS))}, which are the defaults"
    parser.add_argument(_OPTION, type=decode_settings, default=DEFAULTS, help=help_text)


def decode_settings(text: str) -> MeasureSettings:
    """Return the settings that a JSON object names, the others at their default.

    Raises ToolchainError (exit 2) for what is no such object, a setting that this agent does not have, or a wrong value.
    """
    try:
        chosen = parse_json(text.encode("utf-8", "surrogateescape"), _OPTION)
        if isinstance(chosen, dict):
            chosen = {**asdict(DEFAULTS), **chosen}
        settings: MeasureSettings = decode(MeasureSettings, chosen, _OPTION)
    except ToolchainError as error:
        if error.code == ExitCode.USAGE:
            raise
        what = "the agent cannot measure with these settings"
        fix = (
            "leave the setting out, or deploy again: this agent is of another version than the toolchain that calls it"
        )
        raise ToolchainError(
            ExitCode.USAGE, what, where=error.where, expected=error.expected, found=error.found, fix=fix
        ) from error
    return settings
