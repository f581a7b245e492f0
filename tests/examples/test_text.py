import pytest

from tests.agent.application.text_boards import make_text_board


@pytest.fixture
def reading(tmp_path, keys, bytecode):
    return make_text_board(tmp_path / "text", keys, bytecode)


def test_each_text_is_told(run_example, reading):
    done = run_example("text/tell.py", reading.root, "hello world", "HELLO", "")
    assert done.returncode == 0, done.stderr
    told = [line.split("  ") for line in done.stdout.splitlines()]
    assert [words[2] for words in told] == ["hello world", "HELLO", ""]
    assert {words[0] for words in told} <= {"a", "b", "c", "d"}
    assert told[0][:2] != told[2][:2]


def test_bytes_that_are_no_text_are_told_so_and_the_next_one_is_read(run_example, reading):
    done = run_example("text/tell.py", reading.root, given=b"hello\xff\nhello\n")
    assert (done.returncode, "surrogate" in done.stderr) == (0, True)
    assert [line.split("  ")[2] for line in done.stdout.splitlines()] == ["hello"]
