import sys

import click
import pytest
import typer

from toolchain.cli import create_app
from toolchain.run.provenance import FLAGS, TOLD, describe_run, tell_words

KEY = "/home/someone/keys/canary"


def list_options():
    """Return the names of all options of all commands, as (those that take a value, flags)."""
    group = typer.main.get_command(create_app())
    context = click.Context(group)
    values, flags = set(), set()
    for command in group.commands.values():
        for option in command.get_params(context):
            names = [name for name in (*option.opts, *option.secondary_opts) if name.startswith("-")]
            (flags if getattr(option, "is_flag", False) else values).update(names)
    return values, flags


def test_every_option_but_that_of_the_key_is_told():
    values, flags = list_options()
    assert values - TOLD == {"--sign"}
    assert flags - FLAGS == {f"--no-{name.removeprefix('--')}" for name in flags if name.startswith("--no-")}
    assert (TOLD | FLAGS) - values - flags == set()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"deploy m --target cpu --sign {KEY}", "deploy m --target cpu --sign ..."),
        (f"deploy --sign={KEY} m", "deploy --sign=... m"),
        (f"deploy --sign {KEY} --sign {KEY} m --json", "deploy --sign ... --sign ... m --json"),
        (f"deploy m --sgin {KEY}", "deploy m --sgin ..."),
        (f"deploy m -sign={KEY}", "deploy m -sign=..."),
        (f"deploy m --json --sign {KEY} --out d", "deploy m --json --sign ... --out d"),
        ("deploy m --sign --target cpu", "deploy m --sign --target cpu"),
        ("deploy m --nope --out=d x", "deploy m --nope --out=d x"),
        ("deploy --quiet m --target cpu", "deploy --quiet m --target cpu"),
    ],
)
def test_a_command_is_told_without_where_a_key_lies(line, told):
    assert " ".join(tell_words(line.split())) == told


def test_a_run_is_described_so(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["toolchain", "deploy", "m", "--sign", KEY])
    assert describe_run(tmp_path)["command"] == "deploy m --sign ..."
