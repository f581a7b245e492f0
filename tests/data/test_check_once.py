"""Checks that read whole files."""

import pytest

from toolchain.data.check_once import check_once
from toolchain.data.faults import Kind
from toolchain.errors import ExitCode, ToolchainError

ODD = Kind("an odd file", "make it even")


def write(folder, count=5):
    paths = [folder / f"{number}.txt" for number in range(count)]
    for path in paths:
        path.write_text("even")
    return paths


def test_files_that_passed_are_not_read_again_while_they_are_the_same(tmp_path):
    paths, read = write(tmp_path), []
    for sha256, what in (("1", "a"), ("1", "a"), ("2", "a"), ("1", "b")):
        check_once(what, sha256, paths, lambda path, _: read.append(path))
    assert sorted(read) == sorted(paths * 3)


def test_faults_of_all_files_are_counted_in_their_order_and_a_check_that_failed_is_run_again(tmp_path):
    paths = write(tmp_path, 9)

    def check(path, faults):
        if path.stem in "2468":
            faults.add(ODD, str(path), expected="even", found="odd")

    for _ in range(2):
        with pytest.raises(ToolchainError) as caught:
            check_once("odd", "3", paths, check)
        assert caught.value.code is ExitCode.USAGE
        assert caught.value.what == "the data have 4 faults: an odd file (4)"
        assert caught.value.found.startswith(f"{paths[2]}: odd; {paths[4]}: odd; ")
        assert caught.value.found.endswith("and 1 more")
