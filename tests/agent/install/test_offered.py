"""Which of the payloads of a bundle a self-test says that it proved: one of them, in every respect, or none."""

from dataclasses import asdict, replace

import pytest

from tests.made_record import SHA256, SIZE_BYTES, make_manifest
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.offered import Shipped, describe_shipped, list_offered, read_shipped

INT8 = Shipped("int8", "onnxruntime", 1, False, "payload/int8/model.onnx", SHA256["int8"], SIZE_BYTES["int8"])


def make_both():
    """Return a manifest in which one file is opened on two numbers of threads."""
    made = make_manifest()
    first, *others = made.candidates
    return replace(made, candidates=(first, replace(first, threads=2), *others))


def test_what_is_offered_has_the_names_of_the_candidates():
    assert list_offered(make_manifest())["int8"] == INT8
    assert list(list_offered(make_both())) == ["int8 1 thread", "int8 2 threads", "float32 1 thread"]


def test_the_payload_is_told_with_the_way_it_was_opened():
    told = replace(INT8, threads=2)
    assert read_shipped(make_both(), {"shipped": asdict(told)}) == told
    assert describe_shipped(told) == "int8 by onnxruntime on 2 threads"


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 4},
        {"pins_threads": True},
        {"runtime": "openvino"},
        {"sha256": "0" * 64},
        {"size_bytes": 1},
        {"more": 1},
        {"path": "x"},
    ],
)
def test_what_the_bundle_does_not_offer_is_refused(change):
    with pytest.raises(ToolchainError) as caught:
        read_shipped(make_both(), {"shipped": {**asdict(INT8), **change}})
    assert caught.value.code == ExitCode.ROLLED_BACK


@pytest.mark.parametrize("told", [None, "int8", [], {}])
def test_a_precision_alone_or_nothing_names_no_payload(told):
    with pytest.raises(ToolchainError):
        read_shipped(make_both(), {"shipped": told})
