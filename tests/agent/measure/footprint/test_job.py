import io
from pathlib import Path

import numpy as np
import pytest

from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.measure.footprint.job import USUAL, decode_build, encode_build, encode_frame, read_frame
from toolchain.agent.measure.session import BuildRequest, ShapeRange

FEEDS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array(7, dtype=np.int64),
    "c": np.zeros((0, 4), dtype=np.float16),
    "d": np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1),
}


def test_a_frame_arrives_as_it_was_sent_and_may_be_written_to():
    stream = io.BytesIO(b"".join([*encode_frame(USUAL, FEEDS), *encode_frame("other", {})]))
    frame = read_frame(stream)
    assert frame["kind"] == USUAL
    for name, array in FEEDS.items():
        assert frame["feeds"][name].dtype == array.dtype
        np.testing.assert_array_equal(frame["feeds"][name], array)
        assert frame["feeds"][name].flags.writeable
    assert read_frame(stream) == {"kind": "other", "feeds": {}}
    assert read_frame(stream) is None


def test_a_frame_that_breaks_off_is_none():
    data = b"".join(encode_frame(USUAL, FEEDS))
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(data[:-1]))


def test_what_an_engine_needs_arrives_as_it_was_sent(tmp_path):
    build = BuildRequest(
        bundle_dir=tmp_path,
        bundle_id="5f",
        shapes={"x": ShapeRange((1, 3), (1, 3), (64, 3))},
        spec=BuildSpec(dla_core=1),
        engines=Path("/engines"),
    )
    assert decode_build(encode_build(build)) == build
