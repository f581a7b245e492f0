import pytest

from toolchain.graph.safety.loops import check_loops

LOOP = """g (float[N] x) => (float[N] y) <int64 m = {TRIPS}, bool t = {1}> { y = Loop (m, CONDITION, x) <
    body = b (int64 i, bool c, float[N] v) => (bool co, float[N] w) { co = BODY w = Relu (v) }> }"""


def write_loop(trips: int, *, condition: str = "t", body: str = "Identity (c)") -> str:
    return LOOP.replace("TRIPS", str(trips)).replace("CONDITION", condition).replace("BODY", body)


def test_a_short_loop_passes(parse):
    check_loops(parse(write_loop(1000)), "m")


@pytest.mark.parametrize("condition", ["t", ""])
@pytest.mark.parametrize("body", ["Identity (c)", "Identity (t)", "Constant <value = bool {1}> ()"])
def test_a_loop_of_too_many_trips_that_nothing_ends_is_refused(parse, refuse, condition, body):
    assert "10000000 trips" in refuse(check_loops, parse(write_loop(10**7, condition=condition, body=body)))


def test_a_loop_that_its_condition_may_end_passes(parse):
    """Exporters write 2^63 - 1 trips for `while`."""
    check_loops(parse(write_loop(2**63 - 1, body="Less (i, m)")), "m")
