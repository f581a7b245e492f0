import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.version import matches_version

releases = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
suffixes = st.sampled_from(["", "", ".dev1", "a1", "b2", "rc1", "rc2", ".post1"])
versions = st.builds(str.__add__, releases, suffixes)
clauses = st.builds(str.__add__, st.sampled_from([">=", "<=", "==", "!=", ">", "<"]), versions)


@given(version=versions, clauses=st.lists(clauses, min_size=1, max_size=3), separator=st.sampled_from([",", ", "]))
def test_it_agrees_with_packaging(version, clauses, separator):
    requirement = separator.join(clauses)
    assert matches_version(version, requirement) == SpecifierSet(requirement).contains(version, prereleases=True)


@pytest.mark.parametrize(
    ("version", "requirement", "expected"),
    [
        ("1.23", ">=1.23.0", True),
        ("1.9", ">=1.10", False),
        ("10.3.0.26", ">=10.3, <11", True),
        ("8.6.2", ">=10.3", False),
        ("1.23.0+cu12", "==1.23", True),
        ("1.24.0.dev20260101", "<1.24", False),
    ],
)
def test_what_boards_report_is_compared_number_by_number(version, requirement, expected):
    assert matches_version(version, requirement) is expected


@pytest.mark.parametrize("requirement", ["", "1.23", "=1.23", "~=1.23", "==1.23.*", ">=1.23,", ">=x", ">= 1 2"])
def test_a_requirement_that_it_does_not_know_is_refused(requirement):
    with pytest.raises(ToolchainError) as caught:
        matches_version("1.23", requirement)
    assert caught.value.code == ExitCode.MALFORMED


def test_a_version_that_cannot_be_read_is_refused():
    with pytest.raises(ToolchainError):
        matches_version("unknown", ">=1")
