"""A few deploys in a row to a real sshd, judged as `make soak` judges fifty; and the same with somebody who leaves something."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from benchmarks.soak.deploys import BOUNDS, CACHE_MAX_BYTES, deploy_often, open_lab
from benchmarks.soak.leftovers import count_leftovers, find_growth

# A board keeps three releases: from the third deploy on it has as many as ever.
_WARM_UP = 3
_DEPLOYS = 4


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None:
        pytest.skip("there is no sshd: apt-get install openssh-server")
    with open_lab(tmp_path_factory.mktemp("lab"), cache_max_bytes=CACHE_MAX_BYTES) as lab:
        yield lab


@pytest.fixture(scope="module")
def rows(lab):
    return deploy_often(lab, _DEPLOYS)


def find(rows):
    return find_growth(rows, warm_up=_WARM_UP, bounds=BOUNDS)


def test_deploys_in_a_row_leave_nothing_more_on_host_and_board(rows):
    assert find(rows) == []


def test_each_brings_a_release_of_its_own_of_which_three_stay(lab, rows):
    assert len(list((lab.places.root / "releases").iterdir())) == 3
    assert len({row.cache_files for row in rows}) == _DEPLOYS  # a bundle each, up to the limit of the cache


@pytest.mark.parametrize(
    ("name", "place"), [("board_files", "root"), ("out_files", "out"), ("temporary_files", "temporary")]
)
def test_a_file_that_is_left_is_found(lab, rows, name, place):
    folder = getattr(lab.places, place)
    path = (folder[0] if place == "temporary" else folder) / "left"
    path.write_bytes(b"")
    try:
        after = count_leftovers(lab.places, peak_bytes=rows[-1].peak_bytes)
    finally:
        path.unlink()
    assert [problem.partition(":")[0] for problem in find([*rows, after])] == [name]


def test_a_process_that_is_left_is_found(lab, rows, monkeypatch):
    monkeypatch.setattr("benchmarks.soak.leftovers._SETTLE_S", 0.2)
    with subprocess.Popen(["sleep", "60"], env=lab.environment) as process:
        try:
            after = count_leftovers(lab.places, peak_bytes=rows[-1].peak_bytes)
        finally:
            process.kill()
    assert find([*rows, after]) == ["processes: at most 0 were expected, and there are 1"]
    assert find([*rows, replace(after, processes=0)]) == []
