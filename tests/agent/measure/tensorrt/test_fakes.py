"""The fakes are what they stand for: names and parameters of the real bindings, and nothing beside."""

import inspect
import json
from pathlib import Path

import pytest

from tests.agent.measure.tensorrt import fake_cuda, fake_tensorrt
from tests.agent.measure.tensorrt.binding_signatures import PROPERTY, VALUE, list_parameters

RECORDINGS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "bindings").glob("*.json")}
# Set by the fake's own constructor, and not by the agent.
OWN = {"model", "read", "trt", "flags", "pools", "profile", "timings", "session", "data", "shapes"}


def list_fake_methods(trt):
    owners = {name: kind for name, kind in vars(fake_tensorrt).items() if inspect.isclass(kind)}
    owners |= {"Builder": trt.Builder, "Runtime": trt.Runtime}
    for owner, kind in owners.items():
        if owner == "FakeTensorRt" or kind.__module__ != fake_tensorrt.__name__:
            continue
        for name, member in vars(kind).items():
            if not name.startswith("_") and name not in OWN:
                yield f"{owner}.{name}", member


@pytest.mark.parametrize("recording", [name for name in RECORDINGS if "tensorrt" in name])
def test_the_fake_tensorrt_has_the_names_and_parameters_of_the_real_one(trt, recording):
    checked = 0
    for name, member in list_fake_methods(trt):
        signatures = RECORDINGS[recording].get(name)
        assert signatures is not None, f"{name} is not used by the agent, or does not exist"
        if inspect.isfunction(member):
            parameters = [parameter for parameter in inspect.signature(member).parameters if parameter != "self"]
            recorded = [[found for found, _ in list_parameters(line)][: len(parameters)] for line in signatures]
            assert parameters in recorded, name
            checked += 1
        else:
            assert signatures in ([PROPERTY], [VALUE]), name
    assert checked > 25


@pytest.mark.parametrize("recording", [name for name in RECORDINGS if "cuda_" in name])
def test_the_fake_cuda_has_the_names_and_parameters_of_the_real_one(recording):
    calls = [member for name, member in vars(fake_cuda.FakeCudart).items() if inspect.isfunction(member)]
    checked = 0
    for member in calls:
        if member.__name__.startswith("cuda"):
            parameters = list(inspect.signature(member).parameters)[1:]
            recorded = [[name for name, _ in list_parameters(line)] for line in RECORDINGS[recording][member.__name__]]
            assert parameters in recorded, member.__name__
            checked += 1
    assert checked > 18
