import dataclasses
import json

import pytest

from tests.agent.measure.camera_bundle import describe_camera_bundle
from toolchain.agent.errors import ToolchainError
from toolchain.agent.manifest import DecoderSpec, read_manifest
from toolchain.agent.measure.end_to_end import measure_end_to_end
from toolchain.agent.measure.golden import open_golden
from toolchain.agent.measure.record import read_record
from toolchain.agent.measure.session import open_session
from toolchain.agent.measure.verify import verify_bundle


@pytest.fixture
def bundle(make_bundle, tmp_path):
    return make_bundle(**describe_camera_bundle(tmp_path, emulated=False))


def measure(bundle, change=lambda manifest: manifest):
    manifest, _ = read_manifest(bundle)
    session = open_session("onnxruntime", bundle / manifest.candidates[0].path, 1)
    return measure_end_to_end(bundle, change(manifest), open_golden(bundle, manifest), session, sample=0)


def test_each_part_of_the_way_is_measured_with_the_largest_frame(bundle):
    found = measure(bundle)
    assert min(found.pre_ms, found.model_ms, found.post_ms) > 0
    assert (found.frame_width, found.frame_height) == (20, 20)


@pytest.mark.parametrize("decoder", [None, DecoderSpec(name="nobody")])
def test_the_answers_are_the_decoder_s_and_none_s_without_one(bundle, decoder):
    def change(manifest):
        return dataclasses.replace(manifest, metric=dataclasses.replace(manifest.metric, decoder=decoder))

    if decoder is None:
        assert measure(bundle, change).runs > 0
        return
    with pytest.raises(ToolchainError):
        measure(bundle, change)


def test_where_no_sensor_is_described_there_is_no_end_to_measure_to(bundle):
    assert measure(bundle, lambda manifest: dataclasses.replace(manifest, input=None)) is None


def test_it_is_part_of_the_record_and_not_on_an_emulated_board(make_bundle, tmp_path):
    bundle = make_bundle(**describe_camera_bundle(tmp_path))
    verification = verify_bundle(bundle, on_progress=lambda *_: None)
    assert verification.record.candidates[0].end_to_end is None
    assert read_record(json.loads(json.dumps(verification.describe()))["record"]) == verification.record
