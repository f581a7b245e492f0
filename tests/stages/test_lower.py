"""What was not decided by measurement is measured again by the next run, and never taken for the truth; and by whose times."""

import dataclasses
import json
from importlib import import_module

import pytest

from tests.agent.measure.tensorrt.fake_cuda import FakeCudart
from tests.agent.measure.tensorrt.fake_tensorrt import FakeTensorRt
from tests.agent.measure.tensorrt.install_fakes import install_fakes
from toolchain.agent.measure.facts import read_facts
from toolchain.project.find import find_target
from toolchain.run.cache import Cache

lower_stage = import_module("toolchain.stages.lower")
count_attempt = lower_stage.count_attempt

INPUTS = {"model": "abc"}
QUIET = {"speed": {"status": "undecided", "problems": []}}
DISTURBED = {"speed": {"status": "undecided", "problems": ["others wanted the CPU"]}}
DECIDED = {"speed": {"status": "decided", "problems": []}}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def lower(cache, document):
    """Do what a run does with the stage; return whether it took what was there."""

    def build(folder):
        (folder / "lowering.json").write_text(json.dumps(document))

    return cache.get_or_build("lower-int8", count_attempt(cache, "lower-int8", INPUTS), build).cached


@pytest.mark.parametrize("document", [DECIDED, {"kept_in_float": []}, {"speed": {"status": "not measured"}}])
def test_what_was_decided_or_needs_no_decision_is_taken_from_the_cache(cache, document):
    assert [lower(cache, document) for _ in range(3)] == [False, True, True]


def test_what_was_decided_in_noise_is_measured_anew_each_time_until_it_is_decided(cache):
    assert [lower(cache, DISTURBED) for _ in range(5)] == [False] * 5
    assert [lower(cache, DECIDED) for _ in range(3)] == [False, True, True]


def test_what_a_quiet_machine_cannot_tell_three_times_is_left_at_that(cache):
    assert [lower(cache, QUIET) for _ in range(5)] == [False, False, False, True, True]


def test_a_result_that_another_run_may_be_using_is_not_touched(cache):
    def build(folder):
        (folder / "lowering.json").write_text(json.dumps(DISTURBED))

    first = cache.get_or_build("lower-int8", count_attempt(cache, "lower-int8", INPUTS), build)
    lower(cache, DISTURBED)
    assert json.loads((first.folder / "lowering.json").read_text()) == DISTURBED


@pytest.mark.parametrize("changed", [{}, {"runtime_version": "10.16.1"}, {"accelerator": "sm_110"}, {"cpu": "other"}])
def test_layers_are_timed_for_the_gpu_of_this_machine_alone(monkeypatch, tmp_path, changed):
    cudart = FakeCudart()
    install_fakes(monkeypatch, tmp_path, cudart, FakeTensorRt(cudart))
    monkeypatch.setattr(lower_stage, "find_module", lambda _name: tmp_path)
    facts, target = dataclasses.replace(read_facts("tensorrt"), **changed), find_target("gpu")
    assert lower_stage._is_timed_here(target, facts) == (not changed)
    assert not lower_stage._is_timed_here(target.model_copy(update={"emulated": True}), facts)


def test_what_times_depend_on_is_part_of_the_key_of_an_engine_and_what_comes_and_goes_is_not(monkeypatch, tmp_path):
    cudart = FakeCudart()
    install_fakes(monkeypatch, tmp_path, cudart, FakeTensorRt(cudart))
    target, facts = find_target("gpu"), read_facts("tensorrt")
    key = lower_stage._identify_engine(target, facts)
    cudart.free_bytes //= 2
    assert lower_stage._identify_engine(target, read_facts("tensorrt")) == key
    other = dataclasses.replace(facts, details={**facts.details, "power_mode": "15W"})
    assert lower_stage._identify_engine(target, other) != key
    assert lower_stage._identify_engine(target, None)["timed_on"] is None


class Noted:
    """A run that only hears notes."""

    def __init__(self):
        self.notes = []
        self.note = self.notes.append


@pytest.mark.parametrize(
    ("target", "pairs", "notes"),
    [
        ("cpu", ["int8 onnxruntime", "float32 onnxruntime"], 0),
        (
            "cpu-best",
            ["int8 onnxruntime", "int8 openvino", "bf16 openvino", "float32 onnxruntime", "float32 openvino"],
            1,
        ),
        (
            ["int8", "bf16"],
            ["int8 onnxruntime", "int8 openvino", "bf16 openvino"],
            1,
        ),
        (["fp16"], ["fp16 onnxruntime", "fp16 openvino"], 0),  # neither has it, which lowering says
    ],
)
def test_a_precision_that_one_of_several_runtimes_lacks_is_lowered_for_the_others_and_told(target, pairs, notes):
    asked = find_target("cpu-best" if isinstance(target, list) else target)
    if isinstance(target, list):
        asked = asked.model_copy(update={"precision": target})
    run = Noted()
    assert [" ".join(pair) for pair in lower_stage.list_lowered(run, asked)] == pairs
    assert len(run.notes) == notes
    assert all("onnxruntime has no bf16" in note for note in run.notes)
