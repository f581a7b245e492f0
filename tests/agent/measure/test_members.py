import json
import subprocess
import sys

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure import members, runtimes


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Forget what a test registers."""
    monkeypatch.setattr(members, "_files", {})
    yield
    for name in [name for name in sys.modules if name.startswith(f"{runtimes.__name__}.outside")]:
        del sys.modules[name]


@pytest.fixture
def path(tmp_path):
    """Return the file of a member that imports as one of ours does."""
    path = tmp_path / "outside.py"
    path.write_text("from ...errors import ExitCode\n\nCODE = ExitCode.PARITY\n")
    return path


def refuse(text):
    with pytest.raises(ToolchainError) as caught:
        members.register_argument(text)
    assert caught.value.code is ExitCode.USAGE
    return str(caught.value)


def test_a_registered_file_is_a_module_of_the_package(path):
    assert "outside" not in members.list_members(runtimes)
    members.register_argument(f"runtimes:outside={path}")
    members.register_argument(f"runtimes:outside={path}")  # a second time changes nothing
    assert "outside" in members.list_members(runtimes)
    module = members.import_member(runtimes, "outside")
    assert module.CODE is ExitCode.PARITY
    assert module is members.import_member(runtimes, "outside")


def test_a_name_that_is_taken_is_refused_with_both(path, tmp_path):
    assert "toolchain.agent.measure.runtimes.onnxruntime" in refuse(f"runtimes:onnxruntime={path}")
    members.register_argument(f"runtimes:outside={path}")
    other = tmp_path / "other.py"
    other.write_text("")
    text = refuse(f"runtimes:outside={other}")
    assert str(path) in text
    assert str(other) in text


@pytest.mark.parametrize(
    "text", ["", "outside", "runtimes:outside", "runtimes:../x=a.py", "install:outside=a.py", "os:x=a.py"]
)
def test_what_names_no_member_is_refused(text):
    assert "KIND:NAME=PATH" in refuse(text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert str(tmp_path / "none.py") in refuse(f"runtimes:outside={tmp_path / 'none.py'}")


def test_a_file_that_breaks_is_no_module_afterwards(path):
    path.write_text("1 / 0\n")
    members.register_argument(f"runtimes:outside={path}")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            members.import_member(runtimes, "outside")


def test_the_command_takes_members(path):
    command = [sys.executable, "-m", "toolchain.agent", "facts", "--runtime", "outside"]
    without = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "there is no runtime" in without.stdout
    path.write_text(
        "from ..traits import LibraryPlaces, Traits\n"
        'TRAITS = Traits(install="python -m pip install outside", libraries=LibraryPlaces(beside=("outside",)))\n'
        "def load():\n    pass\n"
        'def read_version():\n    return "7.5"\ndef read_accelerator():\n    return None\ndef read_details():\n    return {}\n'
    )
    done = subprocess.run(
        [*command, "--member", f"runtimes:outside={path}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["runtime_version"] == "7.5"
