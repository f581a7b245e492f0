import json

import pytest

from toolchain.deploy.agent_output import follow_progress, read_agent_output
from toolchain.errors import ExitCode, ToolchainError

ERROR = {"code": 12, "what": "no", "where": "arch", "expected": "a", "found": "b", "fix": "c"}


def test_progress_lines_are_reported_and_the_others_kept():
    seen = []
    lines = [
        '{"event": "progress", "step": "latency", "done": 3, "total": 10}\n',
        "a warning of the runtime\n",
        '{"event": "other"}\n',
        "[]\n",
    ]
    kept = follow_progress(lines, lambda *event: seen.append(event))
    assert seen == [("latency", 3, 10)]
    assert kept.splitlines() == ["a warning of the runtime", '{"event": "other"}', "[]"]


@pytest.mark.parametrize(
    ("step", "done", "total"),
    [
        (1, 1, 2),
        ({}, 1, 2),
        ("a", "1", 2),
        ("a", 1, None),
        ("a", 1.5, 2),
        ("a", True, 2),
        ("\x1b[2J", 1, 2),
        ("\ud800", 1, 2),
    ],
)
def test_progress_that_cannot_be_shown_or_counted_is_a_line_like_any_other(step, done, total):
    seen = []
    line = json.dumps({"step": step, "done": done, "total": total})
    assert follow_progress([f"{line}\n"], lambda *event: seen.append(event)) == line
    assert seen == []


def test_only_the_end_of_a_long_output_is_kept():
    assert follow_progress([f"{index}\n" for index in range(10_000)], print).splitlines()[-1] == "9999"
    assert len(follow_progress([f"{index}\n" for index in range(10_000)], print).splitlines()) == 20


def test_an_error_of_the_receiver_is_not_swallowed():
    def fail(*_event):
        raise KeyError

    with pytest.raises(KeyError):
        follow_progress(['{"step": "x", "done": 1, "total": 2}'], fail)


def test_a_document_comes_with_its_exit_code():
    result = read_agent_output(18, json.dumps({"verdict": "fail", "exit_code": 18}), "")
    assert (result.exit_code, result.document["verdict"]) == (18, "fail")


def test_a_reported_error_is_raised_as_it_was():
    with pytest.raises(ToolchainError) as caught:
        read_agent_output(12, json.dumps({"error": ERROR}), "")
    assert caught.value.to_dict() == ERROR


def test_an_agent_that_says_nothing_did_not_finish():
    for return_code in (0, 1, 137):
        with pytest.raises(ToolchainError) as caught:
            read_agent_output(return_code, "", "first\nlast words")
        assert caught.value.code == ExitCode.UNEXPECTED
        assert "last words" in caught.value.found


@pytest.mark.parametrize(
    ("return_code", "stdout"),
    [
        (0, "not json"),
        (0, "[" * 100_000),
        (0, '{"exit_code": NaN}'),
        (0, '{"exit_code": false}'),
        (0, json.dumps({"error": {**ERROR, "code": 0}})),
        (0, json.dumps({"error": {**ERROR, "what": "\ud800"}})),
        (1, json.dumps({"error": {**ERROR, "what": 5}})),
        (0, "[]"),
        (1, '{"error": {}}'),
        (1, '{"error": "text"}'),
        (1, '{"error": {"code": 99}}'),
        (0, '{"exit_code": 18}'),
        (18, '{"exit_code": 0}'),
        (1, "{}"),
    ],
)
def test_an_agent_that_makes_no_sense_is_never_a_success(return_code, stdout):
    with pytest.raises(ToolchainError) as caught:
        read_agent_output(return_code, stdout, "first\nlast words")
    assert caught.value.code == ExitCode.MALFORMED
    assert "last words" in caught.value.found


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (60, "signal 60")])
def test_a_signal_is_named(number, name):
    with pytest.raises(ToolchainError) as caught:
        read_agent_output(-number, "", "")
    assert name in caught.value.found
