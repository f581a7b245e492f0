"""A model that somebody else made is opened and run in a confined process; one that we export is not."""

import io
import json
import os

import numpy as np
import onnx
import onnx.parser
import pytest

from toolchain import stages
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.deploy.local import LocalTransport
from toolchain.errors import ExitCode, ToolchainError
from toolchain.pipeline import Order, deploy_model
from toolchain.project.find import find_recipe, find_target
from toolchain.project.freshness import Freshness
from toolchain.project.recipe import LimitsSection, ModelSection
from toolchain.run.cache import Cache, Entry
from toolchain.run.progress import Progress

# Its time is its trip count, which only shows when it runs: three for each FACTOR.
LOOP = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 3] input) => (float[N, 3] out) <int64 factor = {FACTOR}, bool yes = {1}> {
    shape = Shape (input) size = ReduceProd <keepdims = 0> (shape) trips = Mul (size, factor)
    out = Loop (trips, yes, input) <body = body (int64 i, bool go, float[N, 3] x) => (bool more, float[N, 3] y)
        { more = Identity (go) y = Mul (x, x) }>
}
"""
PAD = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 3] input) => (float[N, 3] out) <int64 factor = {FACTOR}, int64[1] zero = {0}, float one = {1}> {
    shape = Shape (input) size = ReduceProd <keepdims = 0> (shape) count = Mul (size, factor)
    length = Unsqueeze (count, zero) many = Expand (one, length) sum = ReduceMean <keepdims = 0> (many)
    out = Add (input, sum)
}
"""


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """A run of a model in text, with a cache of its own."""
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))

    def make(text, **limits):
        onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
        samples = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
        np.savez(tmp_path / "data.npz", input=samples)
        recipe = find_recipe(str(tmp_path / "net.onnx"), calibration=tmp_path / "data.npz")
        recipe = recipe.model_copy(update={"limits": LimitsSection(**limits)}).at(recipe.path, name=recipe.name)
        progress = Progress(stream=io.StringIO(), log_path=tmp_path / "log.jsonl")
        return stages.Run(recipe=recipe, cache=Cache(tmp_path / "cache"), progress=progress)

    return make


def refuse(run):
    with pytest.raises(ToolchainError) as caught:
        stages.run_stages(run, stages.optimize_alone, gives=Entry)
    assert caught.value.code == ExitCode.MALFORMED
    assert caught.value.where.endswith("net.onnx")
    return caught.value


def test_an_honest_model_is_optimized_and_its_records_come_back(make_run, tmp_path):
    run = make_run(LOOP.replace("FACTOR", "10"))
    entry = stages.run_stages(run, stages.optimize_alone, gives=Entry)
    assert isinstance(entry, Entry)
    assert not entry.cached
    assert (entry.folder / "model.onnx").is_file()
    assert [(record.name, record.cached) for record in run.records] == [("import", False), ("optimize", False)]
    assert run.records[1].sha256 == entry.sha256
    assert stages.run_stages(run, stages.optimize_alone, gives=Entry).cached
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["stage"] for event in events if event["event"] == "end"] == ["import", "optimize"] * 2


def test_a_loop_without_end_is_refused_and_what_was_done_before_is_told(make_run):
    run = make_run(LOOP.replace("FACTOR", str(2**60)), step_s=1.5)
    error = refuse(run)
    assert error.what == "the model takes too long"
    assert "at a run of one sample" in error.found
    assert [record.name for record in run.records] == ["import"]


def test_memory_that_only_shows_when_it_runs_is_refused_and_a_little_of_it_is_not(make_run):
    assert refuse(make_run(PAD.replace("FACTOR", str(2**31)))).what == "the model takes too much memory"
    run = make_run(PAD.replace("FACTOR", "1000"))
    assert stages.run_stages(run, stages.optimize_alone, gives=Entry).folder.is_dir()


def test_the_recipe_says_what_a_model_may_take(make_run):
    text = PAD.replace("FACTOR", str(2**25))  # 100 million floats
    assert "at most 200 MB" in refuse(make_run(text, memory_mb=200)).expected
    run = make_run(text, memory_mb=4000)
    assert stages.run_stages(run, stages.optimize_alone, gives=Entry).folder.is_dir()


COMPUTED_SCALE = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 3] input) => (float[N, 3] out) <float a = {1.5}, float b = {TAKEN}> {
    scale = Sub (a, b) q = QuantizeLinear (input, scale) out = DequantizeLinear (q, scale)
}
"""


def test_a_scale_that_only_a_pass_computes_is_refused_where_it_is_none(make_run):
    with pytest.raises(ToolchainError, match="a scale is not positive") as caught:
        stages.run_stages(make_run(COMPUTED_SCALE.replace("TAKEN", "1.5")), stages.optimize_alone, gives=Entry)
    assert caught.value.code == ExitCode.MALFORMED
    run = make_run(COMPUTED_SCALE.replace("TAKEN", "1.25"))
    assert stages.run_stages(run, stages.optimize_alone, gives=Entry).folder.is_dir()


def test_notes_come_back_for_the_report(make_run):
    run = make_run(LOOP.replace("FACTOR", "10"))

    def work(run):
        run.note("what a user has to know")
        return []

    assert stages.run_stages(run, work, gives=list[str]) == []
    assert run.notes == ["what a user has to know"]


def test_a_module_of_ones_own_runs_in_this_process(make_run):
    run = make_run(LOOP.replace("FACTOR", "10"))
    assert stages.run_stages(run, lambda _: os.getpid(), gives=int) != os.getpid()
    run.recipe = run.recipe.model_copy(update={"model": ModelSection(build="model.py:build", weights="w.safetensors")})
    assert stages.run_stages(run, lambda _: os.getpid(), gives=int) == os.getpid()


def test_a_deploy_that_a_limit_ends_says_so_in_its_report(make_run, tmp_path):
    run = make_run(PAD.replace("FACTOR", str(2**31)))
    out = tmp_path / "out"
    order = Order(settings=MeasureSettings(), freshness=Freshness(counter=0, expires=None))
    with LocalTransport(out) as transport, pytest.raises(ToolchainError) as caught:
        deploy_model(run.recipe, find_target("cpu"), out=out, transport=transport, order=order, progress=run.progress)
    assert caught.value.code == ExitCode.MALFORMED
    report = json.loads((out / "report.json").read_text())
    assert (report["verdict"], report["exit_code"]) == ("fail", 23)
    assert [stage["name"] for stage in report["stages"]] == ["import", "evidence"]
    assert "too much memory" in " ".join(report["reasons"])
