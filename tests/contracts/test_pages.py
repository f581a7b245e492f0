"""The examples of docs/extending/ are what they are said to be: members that keep the contract of their seam."""

import sys

import numpy as np
import pytest
import torch

from tests.compress.odd_nets import ODD_NETS, build_odd_net
from tests.contracts import (
    test_calibration_methods,
    test_data_sets,
    test_decoders,
    test_gates,
    test_methods,
    test_metrics,
    test_passes,
    test_runtimes,
    test_tasks,
)
from tests.contracts.claims import find_broken_claims
from tests.contracts.pages import PAGES, ROOT, read_blocks, run_example
from tests.contracts.test_data_sets import sources
from tests.contracts.test_methods import run
from tests.contracts.test_runtimes import folder
from toolchain.agent.measure import decoders, gates, members, metrics, runtimes
from toolchain.data.npz import ArraySamples
from toolchain.errors import ToolchainError
from toolchain.project.agent_members import use_member
from toolchain.project.members import find_member, load_member
from toolchain.project.seams import DECODERS, LOWERINGS, METRICS, RUNTIMES
from toolchain.tasks import find_task

__all__ = ["folder", "run", "sources"]


def list_strange_lines(text, root=ROOT):
    """Return the lines that the differences of a page take away or stand beside, and that are not in their file."""
    strange = []
    for path, lines in read_blocks(text, "diff").items():
        content = (root / path).read_text().splitlines()
        strange += [line for line in lines.splitlines() if line[0] != "+" and line[1:] not in content]
    return strange


@pytest.fixture
def written(plugins, monkeypatch):
    """Return a project that has what the pages put into plugins/."""
    monkeypatch.setattr(members, "_files", {})
    known = set(sys.modules)
    for page in PAGES.values():
        for path, code in read_blocks(page.read_text(), "python").items():
            if path.startswith("plugins/"):
                (plugins / path).parent.mkdir(parents=True, exist_ok=True)
                (plugins / path).write_text(code)
    yield plugins
    for name in set(sys.modules) - known:
        if name.startswith((metrics.__name__, decoders.__name__, runtimes.__name__)):
            del sys.modules[name]


def test_the_data_set_keeps_the_contract(written):
    assert find_broken_claims(test_data_sets.CLAIMS, "stripes") == set()


def test_the_calibration_method_keeps_the_contract(written):
    assert find_broken_claims(test_calibration_methods.CLAIMS, "mean_peak") == set()


def test_the_pass_keeps_the_contract(written):
    assert find_broken_claims(test_passes.CLAIMS, "bridge_identity") == set()


@pytest.mark.parametrize("net", ODD_NETS)
def test_the_compression_method_keeps_its_word(written, run, tmp_path, monkeypatch, net):
    # Untrained weights have a uniform distribution: nothing of them is three deviations away.
    monkeypatch.setitem(test_methods.ENTRIES, "clip_weights", {"deviations": 1.0})
    draft, reach, entry = run(net, "clip_weights")
    before = build_odd_net(net)
    test_methods.assert_kept("clip_weights", entry, before, draft, reach)
    test_methods.assert_comes_back(net, draft, tmp_path / "weights.safetensors")
    test_methods.assert_frozen_stays_frozen(before, draft)


def test_the_metric_keeps_the_contract(written):
    use_member(METRICS, "largest_error")
    draw = run_example("metric", "tests/agent/measure/metrics/test_largest_error.py", "page.draw").draw
    for check in test_metrics.CHECKS:
        check(metrics.find_metric("largest_error"), draw)


def test_the_task_keeps_the_contract(written):
    test_tasks.test_a_task_names_a_metric_and_a_decoder_that_there_are("counting")
    test_tasks.test_a_task_is_listed_without_torch("counting")
    task = find_task("counting")
    outputs = {"output": torch.zeros(3, 1, requires_grad=True)}
    loss = task.make_loss(task.Options())
    assert loss(outputs, {"values": torch.ones(3, 1)}).item() == 1.0  # exp(0) - 1 * 0
    samples = ArraySamples(arrays={"x": np.zeros((2, 1))}, targets={"values": np.array([[1], [-1]])}, sha256="made")
    with pytest.raises(ToolchainError, match="below 0"):
        task.check(task.Options(), {"output": np.zeros((1, 1))}, samples, where="data", classes=None)


def test_the_decoder_keeps_the_contract(written):
    use_member(DECODERS, "corner_regions")
    test = run_example("decoder", "tests/agent/measure/decoders/test_corner_regions.py", "page.test")
    for check in test_decoders.CHECKS:
        check(decoders.find_decoder("corner_regions", test.OPTIONS), test)


def test_the_runtime_keeps_the_contract_and_has_a_lowering(written):
    use_member(RUNTIMES, "onnx")
    assert find_broken_claims(test_runtimes.CLAIMS, "onnx") == set()
    assert load_member(find_member(LOWERINGS, "onnx")).LOWERINGS.keys() == {"float32"}


def test_the_gate_keeps_the_contract(monkeypatch):
    gate = run_example("gate", "toolchain/agent/measure/gates/samples.py", f"{gates.__name__}.samples")
    few = test_gates.dataclasses.replace(test_gates.STRICT, limits={"samples_min": 10.0**6})
    monkeypatch.setitem(test_gates.FAMILY, "samples", gate)
    monkeypatch.setitem(test_gates.FAILING, "samples", {"manifest": {"gates": few}})
    assert find_broken_claims(test_gates.CLAIMS, "samples") == set()


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_changes_is_there_to_be_changed(page):
    assert list_strange_lines(PAGES[page].read_text()) == []


def test_a_line_that_is_not_in_the_file_is_found(tmp_path):
    (tmp_path / "a.py").write_text("one\ntwo\n")
    page = "```diff\n# a.py\n one\n-two\n-three\n+four\n```\n"
    assert list_strange_lines(page, tmp_path) == ["-three"]


def test_every_seam_has_its_page():
    """Those of seams.py, under the names that pages have; a runtime's two halves are on one."""
    from toolchain.project import seams

    nouns = [seam.noun for seam in vars(seams).values() if isinstance(seam, seams.Seam) and seam is not LOWERINGS]
    assert {noun.replace(" ", "_").replace("ONNX", "onnx") for noun in nouns} <= PAGES.keys()
