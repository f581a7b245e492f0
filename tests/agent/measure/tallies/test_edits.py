from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.measure.tallies.edits import count_edits

WORDS = st.text(alphabet="abc", max_size=8)


def count_plainly(first, second):
    """Return the edits as the definition has them, cell by cell."""
    table = [[row + column for column in range(len(second) + 1)] for row in range(len(first) + 1)]
    for row in range(1, len(first) + 1):
        for column in range(1, len(second) + 1):
            other = table[row - 1][column - 1] + (first[row - 1] != second[column - 1])
            table[row][column] = min(table[row - 1][column] + 1, table[row][column - 1] + 1, other)
    return table[-1][-1]


@given(WORDS, WORDS)
def test_edits_are_those_of_the_definition(first, second):
    assert count_edits(first, second) == count_plainly(first, second)


def test_the_longest_texts_that_are_read_have_their_edits():
    assert count_edits("a" * 10_000, "b" * 10_000) == 10_000
