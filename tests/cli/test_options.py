"""The options of a measurement are those of its record, in every command that measures for a verdict."""

from dataclasses import fields

import pytest
import typer
from typer.testing import CliRunner

from toolchain.agent.measure.settings import DEFAULTS, MeasureSettings
from toolchain.cli import deploy, flow, model
from toolchain.cli.options import SETTINGS, take_settings


@pytest.fixture
def run():
    """Return a function that runs a small command and returns its exit code and the settings that it got."""
    got = []

    def measure(name: str, *, settings: MeasureSettings) -> int:
        got.append((name, settings))
        return 0

    app = typer.Typer()
    app.command()(take_settings(measure))
    return lambda *arguments: (CliRunner().invoke(app, ["tiny", *arguments]).exit_code, got)


def test_every_setting_has_an_option_of_its_name():
    assert list(SETTINGS) == [field.name for field in fields(MeasureSettings)]


def test_a_command_gets_what_was_asked_for_and_the_defaults_for_the_rest(run):
    assert run() == (0, [("tiny", DEFAULTS)])
    code, got = run("--latency-samples", "7", "--latency-limit-s", "1.5")
    assert (code, got[-1]) == (0, ("tiny", MeasureSettings(latency_samples=7, latency_limit_s=1.5)))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "much"])
def test_a_number_with_which_nothing_can_be_measured_is_refused_by_the_parser(run, value):
    assert run("--latency-limit-s", value) == (2, [])


@pytest.mark.parametrize("command", [deploy.deploy, flow.verify, model.compress], ids=lambda command: command.__name__)
def test_every_command_with_a_verdict_has_the_options(command):
    app = typer.Typer()
    app.command()(command)
    known = {name for parameter in typer.main.get_command(app).params for name in parameter.opts}
    assert {f"--{name.replace('_', '-')}" for name in SETTINGS} <= known
