"""A place of a labgrid farm as a board."""

import os
import subprocess
import sys

import pytest

from tests.native_board import assert_unreachable
from toolchain.deploy.labgrid import LabgridConnection
from toolchain.errors import ExitCode, ToolchainError

pytest.importorskip("labgrid", reason="labgrid is not installed: pip install 'edge-toolchain[labgrid]'")

CONNECT = """
import sys
from pathlib import Path
from toolchain.deploy.labgrid import LabgridConnection
from toolchain.errors import ToolchainError

connection = LabgridConnection(Path(sys.argv[1]), config=Path(sys.argv[2]))
try:
    connection.open()
    stdout, _ = connection.start("set -- $SSH_CONNECTION; echo $3 $4").communicate()
    print(stdout.decode(), end="")
except ToolchainError as error:
    print(error)
    sys.exit(int(error.code))
finally:
    connection.close()
"""


def connect(farm):
    """Connect in a process of its own, as labgrid keeps one session a process; return (exit code, said)."""
    command = [sys.executable, "-c", CONNECT, farm.environment, farm.config]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_an_acquired_place_leads_to_its_board_and_a_changed_host_key_is_refused(farm, native):
    code, said, stderr = connect(farm)
    assert (code, stderr) == (ExitCode.UNREACHABLE, "")
    assert "place bench is not acquired" in said
    assert "labgrid-client -p PLACE acquire" in said
    farm.run("-p", "bench", "acquire")
    assert connect(farm) == (0, f"127.0.0.1 {native.port}\n", "")
    native.stop()
    native.change_host_key()
    native.start()
    code, said, _ = connect(farm)
    assert code == ExitCode.UNREACHABLE
    assert "host key changed" in said


def test_an_environment_that_is_not_there_is_exit_2(tmp_path):
    with pytest.raises(ToolchainError) as caught:
        LabgridConnection(tmp_path / "env.yaml").open()
    assert caught.value.code == ExitCode.USAGE


def test_an_environment_without_an_ssh_driver_leads_nowhere(tmp_path):
    path = tmp_path / "env.yaml"
    path.write_text("targets:\n  main:\n    resources: {}\n")
    assert_unreachable(LabgridConnection(path))


def test_without_labgrid_it_is_exit_3_with_the_way_to_get_it(tmp_path):
    (tmp_path / "env.yaml").write_text("targets: {}\n")
    script = f"""
import sys
sys.modules["labgrid"] = None
from pathlib import Path
from toolchain.deploy.labgrid import LabgridConnection
from toolchain.errors import ToolchainError
try:
    LabgridConnection(Path({str(tmp_path / "env.yaml")!r})).open()
except ToolchainError as error:
    print(int(error.code), error.fix)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "3 python -m pip install 'edge-toolchain[labgrid]'\n"
