"""The command line, run in the process of the tests."""

import sys

import pytest

from toolchain.cli import main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command line in this process, in an empty folder, and returns how it ended."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))

    def run_command_line(*arguments):
        monkeypatch.setattr(sys, "argv", ["toolchain", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return (caught.value.code, *capsys.readouterr())

    return run_command_line
