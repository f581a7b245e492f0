"""The board's command as a host starts it: a process with arguments, an exit code, one JSON object."""

import json
import subprocess
import sys

import pytest

from toolchain.agent.errors import ExitCode


def run_installer(*arguments):
    command = [sys.executable, "-B", "-m", "toolchain.agent.install", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["no-such-command"], ["verify", "."], ["install"]),
        ["facts", "--runtime", "no_such_runtime"],
        ["rollback", "--root", "/no/such/root", "--who", "test", "--limit-s", "0"],
        ["install", "--root", "/no/such/root", "--who", "test", "--keep", "1"],
        ["install", "--root", "/no/such/root", "--who", "test", "--fault", "lock:entry:kill"],
        ["check", "--root", "/no/such/root", "--settings", '{"latency_samples": 0}'],
    ],
    ids=" ".join,
)
def test_an_error_is_one_json_object_with_its_exit_code(arguments):
    code, document = run_installer(*arguments)
    assert (code, document["error"]["code"]) == (ExitCode.USAGE, ExitCode.USAGE)


def test_facts_are_those_of_this_machine():
    code, facts = run_installer("facts", "--runtime", "onnxruntime")
    assert code == 0
    own = {"arch", "cpu", "cpu_features", "os", "python", "runtime", "runtime_version", "accelerator", "details"}
    assert own | {"board"} == set(facts)


def test_facts_tell_what_the_disk_of_a_root_has_even_before_it_is_made(tmp_path):
    _, facts = run_installer("facts", "--runtime", "onnxruntime", "--root", tmp_path / "not" / "yet")
    board = facts["board"]
    assert board["disk_free_bytes"] > 0
    assert board["memory_bytes"] >= board["memory_available_bytes"] > 0
    assert board["ssh_keygen"].endswith("ssh-keygen")
    assert board["is_clock_plausible"] is True


def test_a_board_without_its_runtime_still_tells_the_rest():
    code, document = run_installer("facts", "--runtime", "no_such_runtime")
    assert (code, document["error"]["code"]) == (ExitCode.USAGE, ExitCode.USAGE)
    assert document["board"]["time"].endswith("Z")
