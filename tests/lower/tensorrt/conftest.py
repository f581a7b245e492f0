"""Without the rtx extra, the tests that ask NVIDIA's parser and builder are not collected."""

import importlib.util

import pytest

from toolchain.agent.measure.facts import read_facts
from toolchain.lower import LowerRequest, lower_model
from toolchain.project.find import find_target
from toolchain.project.recipe import QuantizeSection

collect_ignore_glob = [] if importlib.util.find_spec("tensorrt_rtx") else ["rtx/*"]


@pytest.fixture
def feeds(images):
    return [{"image": images["image"][index : index + 1]} for index in range(16)]


@pytest.fixture
def lower(tmp_path):
    """Return what lowers a model for a target and returns the folder of the result."""

    def run(model, feeds, target, precision, *, listed=None, sqnr_db_min=None):
        (tmp_path / "float.onnx").write_bytes(model.SerializeToString())
        chosen = find_target(target)
        if listed is not None:
            chosen = chosen.model_copy(update={"precision": listed})
        request = LowerRequest(
            model=tmp_path / "float.onnx",
            exported=tmp_path / "float.onnx",
            target=chosen.narrow(precision),
            precision=precision,
            facts=read_facts("onnxruntime"),
            feeds=feeds,
            options=QuantizeSection(calibration="minmax"),
            sqnr_db_min=sqnr_db_min or {},
        )
        out = tmp_path / f"{target}-{precision}"
        out.mkdir(exist_ok=True)
        lower_model(request, out, start_steps=lambda _name, _total: lambda: None)
        return out

    return run
