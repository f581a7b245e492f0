"""What runs on a board before the agent does: nothing that lies about there, and no code that others could change."""

import json
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from tests.deploy.lying_board import Shell, make_board
from toolchain.deploy.board import read_agent_code
from toolchain.errors import ExitCode, ToolchainError

STATUS = ("status", "--root", "{ROOT}")
# Of the loader, of the agent, and of what both import.
STRAYS = ("tempfile.py", "json.py", "select.py", "numpy.py", "onnxruntime.py", "agent.py", "toolchain.py", "grp.py")


class Home(Shell):
    """A connection to an account: a shell that starts in its home, with its environment."""

    def __init__(self, home, **environment):
        self.home = home
        self.environment = {**os.environ, "HOME": str(home), **environment}

    def start(self, command):
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["sh", "-c", command], stdin=pipe, stdout=pipe, stderr=pipe, cwd=self.home, env=self.environment
        )


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "mark"


def leave_strays(folder, mark):
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*STRAYS, "sitecustomize.py", "usercustomize.py", "startup.py"):
        (folder / name).write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nraise SystemExit(99)\n")


@pytest.fixture
def home(tmp_path, mark):
    """Return a connection to an account whose home, search path and user site are full of strays."""
    home = tmp_path / "home"
    leave_strays(home, mark)
    leave_strays(tmp_path / "path", mark)
    user_site = home / f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    user_site.mkdir(parents=True)
    for name in ("sitecustomize.py", "usercustomize.py"):
        (user_site / name).write_text((home / name).read_text())
    startup = str(tmp_path / "path/startup.py")
    return Home(home, PYTHONPATH=f":{tmp_path / 'path'}", PYTHONSTARTUP=startup, PYTHONINSPECT="")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "board"


def test_what_lies_about_in_the_home_and_on_the_search_path_does_not_run(home, root, mark):
    board = make_board(home, root)
    assert board.run(*STATUS).document["current"] is None
    assert board.run("facts", "--runtime", "onnxruntime", "--root", "{ROOT}").document["runtime_version"]
    assert not mark.exists()


def test_the_check_of_that_check_a_python_that_is_not_isolated_runs_it(home, mark):
    process = home.start(f"exec {sys.executable} -B -c 'import tempfile'")
    process.communicate()
    assert (process.returncode != 0, mark.exists()) == (True, True)


def test_a_self_test_is_isolated_too(home, root, mark, make_bundle):
    from toolchain.agent.measure.settings import MeasureSettings
    from toolchain.deploy.remote import RemoteTransport
    from toolchain.deploy.transport import Shipment

    settings = MeasureSettings(latency_samples=11, latency_limit_s=0.1)
    with RemoteTransport(root.parent / "dist", device="home", board=make_board(home, root)) as transport:
        transport.place_bundle(Shipment(bundle=make_bundle(), settings=settings), lambda *_: None)
        assert transport.measure_bundle(lambda *_: None).document["verdict"] == "pass"
    assert not mark.exists()


def assert_refused(board, code, *words):
    with pytest.raises(ToolchainError) as caught:
        board.run(*STATUS)
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("name", ["", "agent"])
def test_a_folder_that_others_can_change_is_refused_before_anything_of_it_runs(root, name):
    make_board(Shell(), root).run(*STATUS)
    (root / name).chmod(0o777)
    assert_refused(make_board(Shell(), root), ExitCode.STORAGE, "mode 0777", f"chmod go-w {root / name}".rstrip("/"))
    (root / name).chmod(0o755)
    make_board(Shell(), root).run(*STATUS)


@pytest.mark.skipif(os.geteuid() != 0, reason="to give a file to somebody else needs root")
@pytest.mark.parametrize("name", ["", "agent"])
def test_a_folder_of_somebody_else_is_refused(root, name):
    make_board(Shell(), root).run(*STATUS)
    os.chown(root / name, 12345, -1)
    assert_refused(make_board(Shell(), root), ExitCode.STORAGE, "user 12345")


def test_a_link_in_the_place_of_the_agents_folder_is_refused(root, tmp_path):
    make_board(Shell(), root).run(*STATUS)
    (root / "agent").rename(tmp_path / "elsewhere")
    (root / "agent").symlink_to(tmp_path / "elsewhere")
    assert_refused(make_board(Shell(), root), ExitCode.STORAGE, "a link")


def find_agent(root):
    return root / "agent" / sha256(read_agent_code()).hexdigest()


def make_writable(folder, aside):
    (folder / "agent/__init__.py").chmod(0o666)


def link_file(folder, aside):
    (folder / "agent/__init__.py").rename(aside)
    (folder / "agent/__init__.py").symlink_to(aside)


def link_folder(folder, aside):
    folder.rename(aside)
    folder.symlink_to(aside)


def put_fifo(folder, aside):
    os.mkfifo(folder / "agent/extra.py")


@pytest.mark.parametrize("change", [make_writable, link_file, link_folder, put_fifo])
def test_code_that_others_could_change_is_brought_anew(root, tmp_path, change):
    make_board(Shell(), root).run(*STATUS)
    change(find_agent(root), tmp_path / "aside")
    assert make_board(Shell(), root).run(*STATUS).document["current"] is None
    folder = find_agent(root)
    assert not folder.is_symlink()
    assert all(path.is_dir() or path.stat().st_mode & 0o777 == 0o644 for path in folder.rglob("*"))
    assert not (folder / "agent/extra.py").exists()


def test_code_is_nobody_elses_whatever_the_account_says(root):
    class Careless(Shell):
        def start(self, command):
            return super().start(f"umask 0; {command}")

    make_board(Careless(), root).run(*STATUS)
    found = [path for path in [root, *root.rglob("*")] if path.stat().st_mode & 0o022]
    assert found == []


def test_a_host_that_is_killed_while_it_brings_code_leaves_nothing_that_stays(root):
    command = make_board(Shell(), root)._write_command(STATUS)
    for _ in range(3):
        process = Shell().start(command)
        assert json.loads(process.stdout.readline()) == {"agent": "missing"}
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (root / "agent/.partial-left").mkdir()
    make_board(Shell(), root).run(*STATUS)
    assert [path.name for path in (root / "agent").iterdir()] == [find_agent(root).name]


def test_many_versions_of_the_toolchain_leave_few_on_a_board(root):
    for index in range(12):
        board = make_board(Shell(), root)
        board._code = json.dumps({**json.loads(board._code), "agent/other.py": str(index)}, sort_keys=True).encode()
        board.run(*STATUS)
    assert len(list((root / "agent").iterdir())) <= 5


def test_a_python_of_before_isolation_says_so(root, tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 'Unknown option: -I' >&2\necho 'usage: python [option] ...' >&2\nexit 2\n")
    old.chmod(0o755)
    board = make_board(Shell(), root)
    board._python = str(old)
    assert_refused(board, ExitCode.INCOMPATIBLE, "3.8 or newer", "install python3")


def test_a_root_that_is_relative_is_below_the_home(tmp_path):
    (tmp_path / "home").mkdir()
    assert make_board(Home(tmp_path / "home"), "of board").run(*STATUS).document["current"] is None
    assert Path(tmp_path / "home/of board/agent").is_dir()
