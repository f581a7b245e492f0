import os
import subprocess
import uuid
from dataclasses import fields, replace

import pytest

from benchmarks.soak.leftovers import MARK, Bounds, Leftovers, Places, count_leftovers, find_growth, list_marked

BOUNDS = Bounds(log_bytes=10_000, cache_bytes=50_000)
ROW = Leftovers(
    **{field.name: 1_000_000 for field in fields(Leftovers)} | {"log_bytes": 0, "cache_bytes": 0, "processes": 0}
)


def repeat(count, **changes):
    """Return rows of a run in which nothing grows but what `changes` gives by name, from the number of the deploy."""
    return [replace(ROW, **{name: change(number) for name, change in changes.items()}) for number in range(count)]


def find(rows):
    return find_growth(rows, warm_up=5, bounds=BOUNDS)


def test_a_run_in_which_nothing_grows_has_no_problem():
    assert find(repeat(50)) == []


def test_what_grows_in_the_first_deploys_alone_is_no_growth():
    assert (
        find(repeat(50, board_files=lambda number: 100 * min(number, 4), board_bytes=lambda n: 10**6 * min(n, 4))) == []
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("board_files", lambda number: 200 + (number == 49)),
        ("board_bytes", lambda number: 10**6 + 200 * number),
        ("out_files", lambda number: 83 + number),
        ("out_bytes", lambda number: 10**6 + 200 * number),
        ("temporary_files", lambda number: int(number == 30)),
        ("sshd_descriptors", lambda number: 5 + number // 20),
        ("sshd_bytes", lambda number: 10**7 + 4096 * number),
        ("peak_bytes", lambda number: 10**8 + 10**6 * number),
        ("peak_bytes", lambda number: 10**8 if 2 <= number < 49 else 3 * 10**8),
        ("processes", lambda number: int(number == 2)),
        ("log_bytes", lambda number: 300 * number),
        ("cache_bytes", lambda number: 2000 * number),
    ],
)
def test_what_grows_by_however_little_is_found(name, change):
    problems = find(repeat(50, **{name: change}))
    assert len(problems) == 1
    assert problems[0].startswith(f"{name}: ")


def test_what_has_a_bound_of_its_own_may_grow_up_to_it():
    assert find(repeat(50, log_bytes=lambda number: 200 * number, cache_bytes=lambda number: 1000 * number)) == []


def test_a_warm_up_that_leaves_nothing_to_judge_is_refused():
    with pytest.raises(ValueError, match="warm-up"):
        find(repeat(5))


def test_files_links_and_second_names_are_counted_and_bytes_once(tmp_path):
    folders = {name: tmp_path / name for name in ("board", "cache", "out", "tmp")}
    for folder in folders.values():
        folder.mkdir()
    (folders["board"] / "log.jsonl").write_bytes(bytes(7))
    (folders["board"] / "log.1.jsonl").write_bytes(bytes(5))
    (folders["board"] / "a").write_bytes(bytes(100))
    os.link(folders["board"] / "a", folders["board"] / "b")
    (folders["tmp"] / "et-folder").mkdir()
    places = Places(
        root=folders["board"],
        cache=folders["cache"],
        out=folders["out"],
        temporary=[folders["tmp"]],
        sshd=os.getpid(),
        mark=uuid.uuid4().hex,
    )
    found = count_leftovers(places, peak_bytes=3)
    assert (found.board_files, found.board_bytes, found.log_bytes) == (2, 100, 12)
    assert (found.cache_files, found.temporary_files, found.processes, found.peak_bytes) == (0, 1, 0, 3)
    assert found.sshd_descriptors > 0
    assert found.sshd_bytes > 0


def test_a_process_that_is_left_is_found_by_its_mark_whatever_session_it_is_in():
    mark = uuid.uuid4().hex
    # `cat` answers when it runs: while exec is under way, a process has no environment to be read.
    with subprocess.Popen(
        ["cat"], env={**os.environ, MARK: mark}, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.read(1) == b"\n"
        assert list_marked(mark) == [process.pid]
        assert list_marked(uuid.uuid4().hex) == []
        process.kill()
    assert list_marked(mark) == []
