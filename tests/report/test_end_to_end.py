from toolchain.agent.measure.record import EndToEnd
from toolchain.report.end_to_end import describe_end_to_end, read_end_to_end

FOUND = EndToEnd(frame_width=80, frame_height=60, pre_ms=1.0, model_ms=2.0, post_ms=1.0, runs=30)


def test_each_part_has_its_share():
    found = read_end_to_end(FOUND)
    assert (found["total_ms"], found["pre_share"], found["model_share"], found["post_share"]) == (4.0, 0.25, 0.5, 0.25)
    text = describe_end_to_end(found)
    assert "80x60" in text
    assert "before 25 %, model 50 %, after 25 %" in text


def test_what_was_not_measured_is_none():
    assert read_end_to_end(None) is None
