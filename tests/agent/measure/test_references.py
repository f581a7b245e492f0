"""The float models that speed is held against: in every way of the target, or it is said why not."""

import pytest

from tests.made_record import make_manifest
from toolchain.agent.candidates import Candidate, Opening
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.record import UnopenedReference
from toolchain.agent.measure.references import check_each_open, explain_unopened, list_references, may_stay_closed

ORIGINAL, OURS = "payload/original/model.onnx", "payload/float32/model.onnx"


def make_several():
    candidates = [
        Candidate(
            precision, runtime=runtime, threads=threads, pins_threads=False, path=f"payload/{precision}/model.onnx"
        )
        for precision in ("int8", "float32")
        for runtime in ("onnxruntime", "openvino")
        for threads in (1, 2)
    ]
    return make_manifest(candidates=tuple(candidates))


def test_both_float_models_are_opened_in_every_way_of_the_target():
    openings = list_references(make_several())
    assert len(openings) == len(set(openings)) == 8
    assert {opening.path for opening in openings} == {ORIGINAL, OURS}
    assert {(opening.runtime, opening.threads) for opening in openings} == {
        *(("onnxruntime", 1), ("onnxruntime", 2), ("openvino", 1), ("openvino", 2))
    }


def test_of_one_way_there_is_one_of_each():
    assert [opening.path for opening in list_references(make_manifest())] == [ORIGINAL, OURS]


REFUSED = ToolchainError(ExitCode.INCOMPATIBLE, "no such operator", found="Foo", fix="use another")


@pytest.mark.parametrize(
    ("manifest", "path", "code", "may"),
    [
        (make_several(), ORIGINAL, ExitCode.INCOMPATIBLE, True),
        (make_several(), ORIGINAL, ExitCode.MALFORMED, True),
        (make_several(), ORIGINAL, ExitCode.MISSING, False),  # the runtime is not there: nothing of it is known
        (make_several(), OURS, ExitCode.INCOMPATIBLE, False),  # it is a candidate too, which the target asks for
        (make_manifest(), ORIGINAL, ExitCode.INCOMPATIBLE, False),  # nothing else opens it
    ],
)
def test_a_reference_alone_may_stay_closed_to_one_of_several_runtimes(manifest, path, code, may):
    error = ToolchainError(code, REFUSED.what, found=REFUSED.found, fix=REFUSED.fix)
    runtime = manifest.runtimes[-1]
    assert may_stay_closed(Opening(path, runtime=runtime, threads=1, pins_threads=False), manifest, error) is may


def test_what_does_not_open_says_why():
    opening = Opening(ORIGINAL, runtime="openvino", threads=1, pins_threads=False)
    told = explain_unopened(opening, REFUSED)
    assert told == UnopenedReference(ORIGINAL, runtime="openvino", reason="no such operator: Foo")


def test_a_reference_that_nothing_opens_is_refused():
    manifest = make_several()
    openings = list_references(manifest)
    ours = [opening for opening in openings if opening.path == OURS]
    closed = [UnopenedReference(ORIGINAL, runtime=runtime, reason="Foo") for runtime in manifest.runtimes]
    with pytest.raises(ToolchainError) as caught:
        check_each_open(manifest, ours, closed)
    assert (caught.value.code, caught.value.where) == (ExitCode.MALFORMED, ORIGINAL)
    check_each_open(manifest, [*ours, openings[0]], closed[1:])
