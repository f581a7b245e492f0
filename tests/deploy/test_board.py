import contextlib
import json
import os
import subprocess
import sys
from hashlib import sha256

import pytest

from toolchain.deploy.board import Board, read_agent_code, read_loader
from toolchain.errors import ExitCode, ToolchainError

STATUS = ("status", "--root", "{ROOT}")


class Shell:
    """A connection to this machine's own shell."""

    place = "here"

    def __init__(self, before=""):
        self._before = before

    def open(self):
        pass

    def start(self, command):
        pipe = subprocess.PIPE
        return subprocess.Popen(["sh", "-c", self._before + command], stdin=pipe, stdout=pipe, stderr=pipe)

    def close(self):
        pass


@pytest.fixture
def root(tmp_path):
    return tmp_path / "board"


def make_board(root, *, shell=None, python=sys.executable):
    return Board(shell or Shell(), root=str(root), python=python, stall_s=30)


def find_agent(root):
    (folder,) = (root / "agent").iterdir()
    return folder


def assert_refused(code, board):
    with pytest.raises(ToolchainError) as caught:
        board.run(*STATUS)
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def test_the_agents_code_is_brought_once_under_its_hash(root):
    assert make_board(root).run(*STATUS).document["current"] is None
    folder = find_agent(root)
    assert folder.name == sha256(read_agent_code()).hexdigest()
    before = {path: path.stat().st_ino for path in folder.rglob("*")}
    make_board(root).run(*STATUS)
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before
    assert not list(folder.rglob("*.pyc"))


def test_what_is_sent_can_install_and_has_nothing_that_breaks_a_board_on_purpose():
    sent = json.loads(read_agent_code())
    assert {"agent/install/__main__.py", "agent/install/states.py", "agent/__main__.py"} <= sent.keys()
    assert not [name for name, text in sent.items() if "os.kill(os.getpid()" in text or "faults" in name]


@pytest.mark.parametrize("damage", ["changed", "missing", "extra"])
def test_code_that_is_not_what_its_name_says_is_replaced_and_does_not_run(root, damage, tmp_path):
    make_board(root).run(*STATUS)
    file = find_agent(root) / "agent" / "__init__.py"
    mark = tmp_path / "mark"
    if damage == "missing":
        file.unlink()
    else:
        path = file if damage == "changed" else file.with_name("extra.py")
        path.write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    make_board(root).run(*STATUS)
    assert not mark.exists()
    assert json.loads(read_agent_code())["agent/__init__.py"] == file.read_text()
    assert not file.with_name("extra.py").exists()


def test_old_versions_of_the_code_are_removed_but_the_latest(root):
    for index in range(6):
        (root / "agent" / f"version-{index}").mkdir(parents=True)
        os.utime(root / "agent" / f"version-{index}", (index, index))
    make_board(root).run(*STATUS)
    names = {path.name for path in (root / "agent").iterdir()}
    assert names == {"version-3", "version-4", "version-5", sha256(read_agent_code()).hexdigest()}


def make_other_board(root, text):
    """Return a board whose host has another version of the agent."""
    board = make_board(root)
    board._code = json.dumps({**json.loads(board._code), "agent/other.py": text}, sort_keys=True).encode("ascii")
    return board, sha256(board._code).hexdigest()


def ask(root):
    """Ask as an application does, with nothing of ours but what lies on the board."""
    command = [sys.executable, "-I", root / "still_proven.py", root]
    done = subprocess.run(list(map(str, command)), cwd="/", capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def find_linked(root):
    return (root / "still_proven.py").resolve().parents[2].name


def test_what_applications_ask_lies_at_one_place_and_is_of_the_agent_that_last_changed_the_board(root):
    make_board(root).run(*STATUS)
    own = sha256(read_agent_code()).hexdigest()
    assert find_linked(root) == own
    other, name = make_other_board(root, "other")
    other.run(*STATUS)
    assert find_linked(root) == own  # looking changes nothing
    with pytest.raises(ToolchainError, match="no release"):
        other.run("check", "--root", "{ROOT}")
    assert find_linked(root) == name
    assert ask(root) == (ExitCode.USAGE, f"usage: no release is active in {root}\n")
    assert not list(root.rglob("*.pyc"))


def test_the_agent_that_applications_ask_is_kept_however_old_and_a_link_to_nothing_is_renewed(root):
    make_board(root).run(*STATUS)
    linked = find_linked(root)
    os.utime(root / "agent" / linked, (1, 1))
    for index in range(6):
        make_other_board(root, str(index))[0].run(*STATUS)
    assert find_linked(root) == linked
    assert len(list((root / "agent").iterdir())) == 5  # the one in use, three more, and this one
    (root / "still_proven.py").unlink()
    (root / "still_proven.py").symlink_to("agent/gone/agent/install/still_proven.py")
    make_board(root).run(*STATUS)
    assert ask(root)[0] == ExitCode.USAGE
    assert {path.name for path in root.iterdir()} == {"agent", "still_proven.py"}


def test_a_board_without_its_runtime_is_exit_3_with_the_way_to_get_it(root, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without site-packages
    bare.chmod(0o755)
    document, error = make_board(root, python=str(bare)).ask("facts", "--runtime", "onnxruntime", "--root", "{ROOT}")
    assert (error.code, "pip install onnxruntime" in error.fix) == (ExitCode.MISSING, True)
    assert document["board"]["time"]


def test_what_a_shell_says_before_is_no_harm(root):
    noisy = Shell('echo "Welcome to the lab"; echo "[1, 2]"; echo "{}"; ')
    assert make_board(root, shell=noisy).run(*STATUS).document["current"] is None


def test_a_root_below_the_home_folder_is_that_of_the_board(tmp_path):
    board = make_board("~/of board", shell=Shell(f"HOME={tmp_path}; export HOME; "))
    assert board.run(*STATUS).document["current"] is None
    assert (tmp_path / "of board" / "agent").is_dir()


def test_a_board_without_python_is_exit_12(root):
    error = assert_refused(ExitCode.INCOMPATIBLE, make_board(root, python="python-of-nobody"))
    assert "python-of-nobody" in error.expected
    assert not root.exists()


def test_a_python_that_is_too_old_says_so_itself(root, tmp_path):
    old = tmp_path / "python"
    change = "import sys; sys.version_info = (3, 7, 9); sys.argv = sys.argv[1:]; exec(sys.argv[0])"
    # "$1" to "$3" are -I -B -c; what follows is the loader and its arguments.
    old.write_text(f'#!/bin/sh\nshift 3\nexec {sys.executable} -c "{change}" "$@"\n')
    old.chmod(0o755)
    error = assert_refused(ExitCode.INCOMPATIBLE, make_board(root, python=str(old)))
    assert (error.found, error.expected) == ("3.7", "3.8 or newer")
    assert not root.exists()


def test_a_folder_that_cannot_be_written_is_exit_14(tmp_path):
    (tmp_path / "file").write_text("")
    error = assert_refused(ExitCode.STORAGE, make_board(tmp_path / "file" / "board"))
    assert "root = in devices.toml" in error.fix


def test_an_error_of_the_agent_is_raised_as_it_was(root):
    with pytest.raises(ToolchainError) as caught:
        make_board(root).run("facts", "--runtime", "none", "--root", "{ROOT}")
    assert caught.value.code == ExitCode.USAGE


def test_an_error_may_come_with_what_is_known_all_the_same(root):
    document, error = make_board(root).ask("facts", "--runtime", "none", "--root", "{ROOT}")
    assert error.code == ExitCode.USAGE
    assert document["board"]["disk_free_bytes"] > 0


def test_a_command_that_says_nothing_is_no_success(root):
    with pytest.raises(ToolchainError) as caught:
        make_board(root, shell=Shell("exit 0; ")).run(*STATUS)
    assert caught.value.code == ExitCode.CONNECTION_LOST


def test_code_that_came_damaged_does_not_run(root):
    code = read_agent_code()
    board = make_board(root)
    board._code = code[:-2] + b" }"
    command = board._write_command(STATUS).replace(sha256(board._code).hexdigest(), sha256(code).hexdigest())
    process = Shell().start(command)
    stdout, _ = process.communicate(board._code)
    assert process.returncode == ExitCode.CONTENT
    assert "damaged" in json.loads(stdout.splitlines()[-1])["error"]["what"]
    assert list((root / "agent").iterdir()) == []


def test_two_first_commands_at_once_both_work(root):
    command = make_board(root)._write_command(STATUS)
    processes = [Shell().start(command) for _ in range(3)]
    for process in processes:
        with process, contextlib.suppress(BrokenPipeError):  # one that came late finds the code there
            process.stdin.write(read_agent_code())
            process.stdin.flush()
            *_, last_line = process.stdout
            assert json.loads(last_line)["current"] is None
        assert process.returncode == 0
    find_agent(root)


def test_the_loader_is_understood_by_old_pythons():
    import ast

    ast.parse(read_loader(), feature_version=(3, 4))
    assert len(read_loader()) < 100_000  # MAX_ARG_STRLEN of Linux is 128 KiB
