import pytest

from toolchain.data.faults import Faults, Kind, refuse_without
from toolchain.errors import ExitCode, ToolchainError

LATE, LOST = Kind("a row that is late", "come earlier"), Kind("a row that is lost", "look for it")


def refuse(faults):
    with pytest.raises(ToolchainError) as caught:
        faults.refuse()
    assert caught.value.code is ExitCode.USAGE
    return caught.value


def test_without_a_fault_nothing_is_refused():
    faults = Faults()
    faults.refuse()
    assert not faults


def test_all_are_counted_by_their_kind_and_the_first_three_are_named():
    faults = Faults()
    for number in range(5):
        faults.add(LATE, f"a.csv, line {number}", expected="noon", found=f"{number} o'clock")
    faults.add(LOST, "b.csv", expected="here", found="there")
    error = refuse(faults)
    assert error.what == "the data have 6 faults: a row that is late (5), a row that is lost (1)"
    assert error.expected == "noon"
    assert error.found == ("a.csv, line 0: 0 o'clock; a.csv, line 1: 1 o'clock; a.csv, line 2: 2 o'clock; and 3 more")
    assert error.fix == "come earlier; look for it"


def test_what_is_found_is_shown_in_part_however_large_or_nested_it_is():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    faults = Faults()
    faults.add(LATE, "a", expected="x" * 10_000, found="y" * 10_000)
    faults.add(LATE, "b", expected="x", found=nested)
    faults.add(LATE, "c", expected="x", found={"key": ["z" * 10_000] * 1000})
    assert len(str(refuse(faults))) < 1000


def test_a_part_with_none_of_what_is_looked_for_is_refused():
    refuse_without(1, what="box", where="a.json")
    with pytest.raises(ToolchainError, match="no sample has a box") as caught:
        refuse_without(0, what="box", where="a.json")
    assert caught.value.where == "a.json"
