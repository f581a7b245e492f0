"""What a board says is judged again: no lie of its ends in a pass that its measurements do not carry."""

import copy
import json
from dataclasses import asdict

import pytest

from tests.made_record import (
    BUNDLE_ID,
    UNKNOWN,
    make_candidate,
    make_evaluation,
    make_manifest,
    make_parity,
    make_record,
)
from toolchain.agent.measure.judge import judge_record
from toolchain.agent.measure.quantiles import Ratio
from toolchain.agent.measure.verify import Verification
from toolchain.deploy.answer import check_signer, read_answer
from toolchain.deploy.pin import read_pin, write_pin
from toolchain.errors import ExitCode, ToolchainError


def make_answer(**changes):
    """Return what an honest board prints, as JSON gave it back."""
    record = make_record(**changes)
    verification = Verification(record=record, judgement=judge_record(record, make_manifest()), samples_ms={})
    return json.loads(json.dumps(verification.describe()))


def read(document, **options):
    return read_answer(document, make_manifest(), BUNDLE_ID, **options)


def assert_refused(code, document, **options):
    with pytest.raises(ToolchainError) as caught:
        read(document, **options)
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def test_an_honest_answer_is_the_verdict():
    answer = read(make_answer())
    assert (answer.judgement.verdict, answer.judgement.shipped.precision) == ("pass", "int8")
    assert answer.record == make_record()


def test_an_honest_failure_is_the_verdict_too():
    bad = make_candidate(evaluation=make_evaluation(parity=(make_parity(3.0),)))
    good = make_candidate("float32", evaluation=make_evaluation(parity=(make_parity(100.0),)))
    answer = read(make_answer(candidates=(bad, good)))
    assert answer.judgement.shipped.precision == "float32"


def change(document, path, value):
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


FIRST = ("record", "candidates", 0)
PARITY = (*FIRST, "evaluation", "parity", 0)
LIES = [
    (("record", "bundle_id"), "00" * 32, ExitCode.CONTENT),
    ((*PARITY, "sqnr_db"), -50.0, ExitCode.INVALID),
    ((*PARITY, "nonfinite"), 9, ExitCode.INVALID),
    ((*PARITY, "output"), "other", ExitCode.INVALID),
    ((*FIRST, "evaluation", "parity"), [], ExitCode.INVALID),
    ((*FIRST, "evaluation", "drift"), [], ExitCode.INVALID),
    ((*FIRST, "evaluation", "samples"), 1, ExitCode.INVALID),
    ((*FIRST, "evaluation", "mismatch"), "an output is missing", ExitCode.INVALID),
    ((*FIRST, "evaluation", "metric", "deployed"), 0.1, ExitCode.INVALID),
    ((*FIRST, "evaluation", "metric"), None, ExitCode.INVALID),
    ((*FIRST, "evaluation"), None, ExitCode.INVALID),
    ((*FIRST, "placement", "layers"), [], ExitCode.INVALID),
    ((*FIRST, "over_later", "float32"), asdict(Ratio(ratio=0.5, low=0.4, high=0.6)), ExitCode.INVALID),
    ((*FIRST, "over_reference"), asdict(UNKNOWN), ExitCode.INVALID),
    ((*FIRST, "latency", "p90_upper_ms"), 9.0, ExitCode.INVALID),
    ((*FIRST, "latency", "p90_upper_ms"), None, ExitCode.INVALID),
    (("record", "throttled"), True, ExitCode.INVALID),
    (("record", "validity", "problems"), ["the clock stepped"], ExitCode.INVALID),
    (("record", "candidates"), [], ExitCode.MALFORMED),
    (("record", "references"), [], ExitCode.MALFORMED),
    (("record", "fastest"), 7, ExitCode.MALFORMED),
    (("record", "fastest"), -1, ExitCode.MALFORMED),
    (("record", "schema"), 1, ExitCode.MALFORMED),
    (("record", "pinned"), "int8", ExitCode.MALFORMED),
    ((*FIRST, "threads"), 64, ExitCode.MALFORMED),
    ((*FIRST, "pins_threads"), True, ExitCode.MALFORMED),
    (("record", "devices", "onnxruntime", "runtime"), "other", ExitCode.MALFORMED),
    (("record", "devices", "onnxruntime", "arch"), "riscv64", ExitCode.INCOMPATIBLE),
    (("record", "devices", "onnxruntime", "runtime_version"), "1.1", ExitCode.INCOMPATIBLE),
    ((*FIRST, "payload", "sha256"), "00" * 32, ExitCode.MALFORMED),
    ((*FIRST, "payload", "path"), "payload/float32/model.onnx", ExitCode.MALFORMED),
    ((*FIRST, "payload", "size_bytes"), 1, ExitCode.MALFORMED),
    ((*FIRST, "precision"), "float32", ExitCode.MALFORMED),
    ((*FIRST, "latency", "samples"), "many", ExitCode.MALFORMED),
    ((*FIRST, "latency", "p50_ms"), True, ExitCode.MALFORMED),
    ((*FIRST, "surprise"), 1, ExitCode.MALFORMED),
    (("record", "devices"), None, ExitCode.MALFORMED),
    (("record",), None, ExitCode.MALFORMED),
    (("record",), [], ExitCode.MALFORMED),
    (("record",), "pass", ExitCode.MALFORMED),
    (("verdict",), "fail", ExitCode.INVALID),
    (("verdict",), None, ExitCode.INVALID),
    (("exit_code",), 18, ExitCode.INVALID),
    (("exit_code",), "0", ExitCode.INVALID),
    (("shipped",), None, ExitCode.INVALID),
    (("shipped", "precision"), "float32", ExitCode.INVALID),
    (("shipped", "sha256"), "00" * 32, ExitCode.INVALID),
    (("shipped", "path"), "payload/float32/model.onnx", ExitCode.INVALID),
]


@pytest.mark.parametrize(("path", "value", "code"), LIES, ids=lambda item: str(item)[:60])
def test_a_lie_is_refused(path, value, code):
    assert_refused(code, change(make_answer(), path, value))


@pytest.mark.parametrize("path", [path for path, _, _ in LIES if path[-1] != "surprise"], ids=str)
def test_a_key_that_is_missing_is_refused(path):
    document = make_answer()
    place = document
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    with pytest.raises(ToolchainError):
        read(document)


def test_candidates_in_another_order_are_refused():
    document = make_answer()
    document["record"]["candidates"].reverse()
    assert_refused(ExitCode.MALFORMED, document)


def test_numbers_that_are_not_finite_are_refused():
    text = json.dumps(change(make_answer(), (*PARITY, "sqnr_db"), float("inf")))
    assert_refused(ExitCode.MALFORMED, json.loads(text))


def test_a_failure_that_is_called_a_pass_is_refused():
    bad = make_candidate(evaluation=make_evaluation(parity=(make_parity(-50.0),)))
    document = make_answer(candidates=(bad, make_candidate("float32")))
    assert document["verdict"] != "pass"
    assert_refused(ExitCode.INVALID, {**document, "verdict": "pass", "exit_code": 0})


def test_the_payload_that_was_asked_for_is_the_one_that_was_measured():
    assert read(make_answer(pinned="int8"), pinned="int8").judgement.verdict == "pass"
    assert_refused(ExitCode.MALFORMED, make_answer(), pinned="int8")


def test_a_signer_of_a_bundle_that_nobody_signed_is_refused():
    check_signer(is_signed=False, signer=None)
    check_signer(is_signed=True, signer="ci@example.org")
    with pytest.raises(ToolchainError) as caught:
        check_signer(is_signed=False, signer="mallory")
    assert caught.value.code == ExitCode.INVALID


def test_the_pin_names_what_was_shipped_until_it_is_taken_back(make_bundle):
    from toolchain.agent.manifest import read_manifest
    from toolchain.agent.measure.judge import Shipped

    bundle = make_bundle()
    manifest, bundle_id = read_manifest(bundle)
    entry = next(entry for entry in manifest.files if entry.path == "payload/int8/model.onnx")
    shipped = Shipped(precision="int8", runtime="onnxruntime", threads=1, pins_threads=False, **asdict(entry))
    assert read_pin(bundle) is None
    write_pin(bundle, bundle_id, shipped)
    assert read_pin(bundle) == "int8"
    for text, code in (
        ("{", ExitCode.MALFORMED),
        ('{"precision": "int8"}', ExitCode.MALFORMED),
        ((bundle / "shipped.json").read_text().replace(bundle_id, "0" * 64), ExitCode.CONTENT),
        ((bundle / "shipped.json").read_text().replace('"int8"', '"float32"'), ExitCode.CONTENT),
    ):
        before = (bundle / "shipped.json").read_text()
        (bundle / "shipped.json").write_text(text)
        with pytest.raises(ToolchainError) as caught:
            read_pin(bundle)
        assert caught.value.code == code
        (bundle / "shipped.json").write_text(before)
    write_pin(bundle, bundle_id, None)
    assert read_pin(bundle) is None
