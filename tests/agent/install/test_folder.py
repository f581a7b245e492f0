"""What is in the place of a file of the board, and is none, is refused in words; nothing is written through it."""

import os
import subprocess

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.folder import Folder

CANARY = b"somebody's\n"
STRANGER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="to give a file to somebody else needs root")


def link(path, canary):
    path.symlink_to(canary)


def link_hard(path, canary):
    path.hardlink_to(canary)


def make_fifo(path, canary):
    os.mkfifo(path)


def make_folder(path, canary):
    path.mkdir()


def make_public(path, canary):
    path.write_bytes(b"")
    path.chmod(0o666)


ODD = {"a link": link, "a file with 2 names": link_hard, "a FIFO": make_fifo, "a folder": make_folder}


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    path.write_bytes(CANARY)
    return path


def replace(path, make, canary):
    path.unlink(missing_ok=True)
    make(path, canary)


def mend(path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


@pytest.mark.parametrize("name", ["lock", "log.jsonl"])
@pytest.mark.parametrize("found", ODD)
def test_what_a_deploy_would_write_to_must_be_a_file_of_the_board(board, good, canary, name, found):
    before = board.state_bytes
    replace(board.root / name, ODD[found], canary)
    answer = board.install(good["new"])
    assert (answer.code, answer.error["found"]) == (ExitCode.STORAGE, found)
    assert answer.error["where"] == str(board.root / name)
    assert f"mv {board.root / name}" in answer.error["fix"]
    assert canary.read_bytes() == CANARY
    assert (board.current, board.state_bytes) == (good["old"].id, before)
    mend(board.root / name)
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


@pytest.mark.parametrize("found", ["a link", "a FIFO", "a folder"])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("state.json", ExitCode.MALFORMED),
        ("verdict", ExitCode.MALFORMED),
        ("allowed_signers", ExitCode.SIGNATURE),
        ("revoked_keys", ExitCode.SIGNATURE),
    ],
)
def test_what_is_read_must_be_too_and_no_command_waits_for_it(board, good, canary, name, code, found):
    path = board.root / (f"verdicts/{good['old'].id}.json" if name == "verdict" else name)
    replace(path, ODD[found], canary)
    status = board.run("status")
    if code == ExitCode.SIGNATURE:
        assert status.code == ExitCode.EXPIRED
        answer = board.install(good["new"])
        assert (answer.code, answer.error["found"]) == (code, found)
    else:
        damage = status.document.get("damage") or status.document["error"]
        assert (status.code, damage["found"]) == (code, found)
    assert board.current == good["old"].id


@pytest.mark.parametrize("name", ["staging", "releases", "verdicts"])
def test_a_link_in_the_place_of_a_folder_is_refused_and_nothing_is_removed_where_it_leads(board, good, tmp_path, name):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis").write_bytes(CANARY)
    (board.root / name).rename(tmp_path / "moved")
    (board.root / name).symlink_to(tmp_path / "home")
    answer = board.install(good["new"])
    assert (answer.code, answer.error["found"]) == (ExitCode.STORAGE, "a link")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis"]
    (board.root / name).unlink()
    (tmp_path / "moved").rename(board.root / name)
    assert board.install(good["new"]).code == ExitCode.PROVEN


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("install", name) for name in (".", "..", "staging", "releases", "verdicts")),
        *(("status", name) for name in (".", "..", "releases", "verdicts")),
    ],
)
def test_a_folder_in_which_everyone_may_write_is_refused_until_nobody_else_may(board, good, command, name):
    path = (board.root / name).resolve()
    mode = path.stat().st_mode & 0o777
    path.chmod(0o777)
    answer = board.install(good["new"]) if command == "install" else board.run("status")
    refused = answer.document.get("damage") or answer.document["error"]
    assert (answer.code, f"chmod go-w {path}" in refused["fix"]) == (ExitCode.STORAGE, True)
    assert board.current == good["old"].id
    path.chmod(mode)
    assert board.install(good["new"]).code == ExitCode.PROVEN


@pytest.mark.parametrize("name", ["log.jsonl", "state.json", "allowed_signers"])
def test_a_record_that_everyone_may_write_is_refused(board, good, name):
    (board.root / name).chmod(0o666)
    answer = board.install(good["new"])
    assert answer.code in (ExitCode.STORAGE, ExitCode.MALFORMED, ExitCode.SIGNATURE)
    assert "mode 0666" in answer.error["found"]
    (board.root / name).chmod(0o644)
    assert board.install(good["new"]).code == ExitCode.PROVEN


@as_root
@pytest.mark.parametrize("name", [".", "releases", "lock", "log.jsonl", "state.json"])
def test_what_belongs_to_somebody_else_is_refused(board, good, name):
    os.chown(board.root / name, STRANGER, -1)
    answer = board.install(good["new"])
    assert answer.code in (ExitCode.STORAGE, ExitCode.MALFORMED)
    assert f"user {STRANGER}" in answer.error["found"]
    os.chown(board.root / name, 0, -1)
    assert board.install(good["new"]).code == ExitCode.PROVEN


@as_root
def test_an_application_of_another_user_may_ask_and_one_who_only_reads_needs_not_own_it(board):
    for path in [board.root, *board.root.rglob("*")]:
        os.lchown(path, STRANGER, -1)
    assert board.run("status").code == ExitCode.PROVEN
    assert board.run("check", "--who", "test").code == ExitCode.STORAGE


@pytest.mark.parametrize("name", ["allowed_signers.new", "state.json.new"])
def test_what_stands_where_a_file_is_made_is_not_written_through(tmp_path, canary, name):
    (tmp_path / name).symlink_to(canary)
    Folder(tmp_path).write(name[:-4], b"new")
    assert (canary.read_bytes(), (tmp_path / name[:-4]).read_bytes()) == (CANARY, b"new")
    os.mkfifo(tmp_path / name)
    Folder(tmp_path).write(name[:-4], b"newer")
    assert ((tmp_path / name[:-4]).read_bytes(), os.path.lexists(tmp_path / name)) == (b"newer", False)


def test_a_folder_that_is_exchanged_is_still_the_one_that_was_opened(tmp_path):
    folder = Folder(tmp_path / "root")
    folder.create()
    folder.write("file", b"own")
    (tmp_path / "root").rename(tmp_path / "moved")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_bytes(b"other")
    assert folder.read("file") == b"own"
    folder.write("file", b"new")
    assert ((tmp_path / "root/file").read_bytes(), (tmp_path / "moved/file").read_bytes()) == (b"other", b"new")


def test_a_record_without_end_is_not_read(tmp_path):
    with (tmp_path / "state.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ToolchainError) as caught:
        Folder(tmp_path).read("state.json")
    assert caught.value.code == ExitCode.MALFORMED


def test_a_file_in_the_place_of_root_is_exit_14(good, board, tmp_path):
    board.root = tmp_path / "file"
    board.root.write_bytes(CANARY)
    assert board.install(good["new"]).code == ExitCode.STORAGE
    assert board.root.read_bytes() == CANARY


def test_a_root_that_is_a_link_of_ones_own_is_its_folder(board, good, tmp_path):
    (tmp_path / "link").symlink_to(board.root)
    board.root = tmp_path / "link"
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


def test_what_is_made_is_nobody_elses_whatever_the_account_says(empty_board, good):
    command = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    assert empty_board.install(good["old"], prefix=command).code == ExitCode.PROVEN
    found = subprocess.run(
        ["find", empty_board.root, "-not", "-type", "l", "-perm", "/022"], capture_output=True, text=True, check=True
    )
    assert found.stdout == ""
