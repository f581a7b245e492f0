import json
import subprocess
import sys

import pytest

SIGNERS = b"# of the lab\nci@example.org ssh-ed25519 AAAA\n\n"


def enroll(root, data, *, announced=None):
    header = json.dumps({"bytes": len(data) if announced is None else announced}).encode() + b"\n"
    command = [sys.executable, "-m", "toolchain.agent.install", "enroll", "--root", root, "--who", "someone"]
    done = subprocess.run(command, input=header + data, capture_output=True, check=False)
    return done.returncode, json.loads(done.stdout)


def test_signers_are_placed_and_those_before_are_told(tmp_path):
    root = tmp_path / "board"
    assert enroll(root, SIGNERS) == (0, {"signers": ["ci@example.org ssh-ed25519 AAAA"], "replaced": []})
    assert (root / "allowed_signers").read_bytes() == SIGNERS
    code, document = enroll(root, b"other ssh-ed25519 BBBB\n")
    assert (code, document["replaced"]) == (0, ["# of the lab", "ci@example.org ssh-ed25519 AAAA"])
    lines = [json.loads(line) for line in (root / "log.jsonl").read_text().splitlines()]
    assert [(line["command"], line["who"], line["verdict"]) for line in lines] == [("enroll", "someone", "done")] * 2


@pytest.mark.parametrize("data", [b"", b"# nobody\n", b"ssh-ed25519 AAAA\n", b"\xff\xfe a b c\n"])
def test_a_file_that_names_no_signers_is_refused_and_the_old_one_stays(tmp_path, data):
    assert enroll(tmp_path, SIGNERS)[0] == 0
    code, document = enroll(tmp_path, data)
    assert (code, document["error"]["code"]) == (2, 2)
    assert (tmp_path / "allowed_signers").read_bytes() == SIGNERS


@pytest.mark.parametrize(("announced", "code"), [(1000, 15), (-1, 2), (2**40, 2), ("x", 23)])
def test_what_does_not_come_whole_changes_nothing(tmp_path, announced, code):
    assert enroll(tmp_path, SIGNERS)[0] == 0
    assert enroll(tmp_path, b"other ssh-ed25519 BBBB\n", announced=announced)[0] == code
    assert (tmp_path / "allowed_signers").read_bytes() == SIGNERS


def test_a_board_that_is_busy_is_exit_17(tmp_path):
    command = ["flock", tmp_path / "lock", "sh", "-c", "echo held; cat"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert enroll(tmp_path, SIGNERS)[0] == 17
    holder.communicate()
    assert enroll(tmp_path, SIGNERS)[0] == 0
