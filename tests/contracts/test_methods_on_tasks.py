"""Every method on a small model of every task, with nothing named: it keeps its word, or says why there is nothing for it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from tests.compress.conftest import make_material
from tests.contracts.test_methods import ENTRIES, assert_frozen_stays_frozen, assert_kept
from toolchain.agent.measure.targets import Ragged
from toolchain.compress import Draft, FinetuneSection, compress_draft
from toolchain.compress.outputs import run_model
from toolchain.data.npz import ArraySamples
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.builder import build_model
from toolchain.module.objective import load_objective
from toolchain.module.structure import FixWeights
from toolchain.module.weights import load_weights, save_weights
from toolchain.project.find import find_recipe
from toolchain.tasks.scoring import load_scoring

SAMPLES = 12
SMALL = {
    "resnet8": {},
    "detector": {"channels": [16, 16, 16]},
    "segmenter": {"channels": [16, 16, 16]},
    "keyword": {"width": 16, "blocks": 2},
    "reader": {"hidden": 16},
    "language": {"width": 16, "heads": 2, "length": 16},
    "tabular": {},
    "anomaly": {"hidden": 32, "code": 16},
}
"""The models of models/, and what makes them small."""
_TRAINING = {"epochs": 1, "batch_size": 6, "learning_rate": 0.01}


def ragged(rows):
    return Ragged(values=np.concatenate(rows), offsets=np.cumsum([0, *map(len, rows)], dtype=np.int64))


def make_samples(name):
    """Return samples that the model takes, with the targets of its task."""
    rng = np.random.default_rng(0)
    labels = np.arange(SAMPLES) % 2

    def draw(*shape):
        return rng.normal(size=(SAMPLES, *shape)).astype(np.float32)

    boxes = np.array([[[2, 2, 20, 20]], [[8, 4, 30, 28]]], np.float32)
    texts = [np.frombuffer(text, np.uint8) for text in (b"a1", b"bc")]
    arrays, targets = {
        "resnet8": lambda: ({"input": draw(3, 16, 16)}, {"labels": labels}),
        "detector": lambda: (
            {"input": draw(1, 32, 32)},
            {
                "boxes": ragged([boxes[i] for i in labels]),
                "classes": ragged([labels[i : i + 1] for i in range(SAMPLES)]),
            },
        ),
        "segmenter": lambda: ({"input": draw(1, 32, 32)}, {"mask": rng.integers(0, 6, (SAMPLES, 32, 32))}),
        "keyword": lambda: ({"sound": 0.1 * draw(16000)}, {"labels": labels}),
        "reader": lambda: ({"input": draw(1, 24, 32)}, {"text": ragged([texts[i] for i in labels])}),
        "language": lambda: (
            {"tokens": rng.integers(2, 80, (SAMPLES, 16)), "mask": np.ones((SAMPLES, 16), np.float32)},
            {"labels": labels},
        ),
        "tabular": lambda: ({"input": draw(10)}, {"values": draw(1)}),
        "anomaly": lambda: ({"input": draw(640)}, {"anomalous": labels}),
    }[name]()
    return ArraySamples(arrays=arrays, targets=targets, sha256=f"made for {name}")


@cache
def read_small(name):
    recipe = find_recipe(name)
    model = recipe.model.model_copy(update={"build_options": SMALL[name]})
    return recipe.model_copy(update={"model": model})


def build(name, *, seed=0):
    """Return the model in evaluation mode, the same at every call, with batch norms that change numbers."""
    torch.manual_seed(seed)
    net = build_model(read_small(name))
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 4)
    return net.eval()


def run(name, method, folder, *, labels=True, **changes):
    """Return the draft, the reach and the entry of a method that is told nothing of the model."""
    samples = make_samples(name)
    if not labels:
        samples = replace(samples, targets={})
    entry = {key: value for key, value in {"method": method, **ENTRIES[method], **changes}.items() if value is not None}
    for key in ("finetune", "sparsify"):
        if key in entry:
            entry[key] = _TRAINING
    material = replace(
        make_material(folder),
        calibration=samples,
        scoring=load_scoring(read_small(name)),
        objective=load_objective(read_small(name)),
        load_training=lambda: samples if labels else None,
        load_teacher=lambda _: build(name, seed=1),
        finetune=FinetuneSection(**_TRAINING) if "finetune" in entry else None,
    )
    draft = Draft(build(name))
    return draft, compress_draft(draft, entry, material), entry


NOTHING_FOR_IT = {
    "equalization": ("anomaly",),
    "channel_sparsity": ("language", "tabular"),
    "group_sparsity": ("resnet8", "detector", "segmenter", "keyword", "reader"),
}
"""What has no two layers in a row, no batch normalization, or no neurons but the outputs."""


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("method", ENTRIES)
def test_a_method_needs_no_layers_named(name, method, tmp_path):
    if name in NOTHING_FOR_IT.get(method, ()):
        with pytest.raises(ToolchainError, match=r"finds no (channels|pair)") as caught:
            run(name, method, tmp_path)
        assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
        return
    draft, reach, entry = run(name, method, tmp_path)
    assert_kept(method, entry, build(name), draft, reach)
    assert_frozen_stays_frozen(build(name), draft)
    save_weights(draft.model, tmp_path / "weights.safetensors", {}, edits=draft.edits)
    fresh = build(name)
    load_weights(fresh, tmp_path / "weights.safetensors")
    for found, expected in zip(answer(fresh, name), answer(draft.model, name), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def answer(model, name):
    samples = tuple(torch.from_numpy(array) for array in make_samples(name).batch(0, 2).values())
    return run_model(model, samples).values()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("importance", ["taylor", "hessian", "activations"])
def test_channels_are_ranked_by_the_loss_of_any_task(name, importance, tmp_path):
    draft, _, _ = run(name, "structured_pruning", tmp_path, importance=importance)
    whole, left = (sum(p.numel() for p in model.parameters()) for model in (build(name), draft.model))
    assert left < whole


@pytest.mark.parametrize("name", SMALL)
def test_a_budget_of_the_tasks_own_metric_is_kept(name, tmp_path):
    draft, _, _ = run(name, "mixed_precision", tmp_path, size_ratio=None, drop_max=1e9, bits=[2, 8])
    assert {edit.bits for edit in draft.edits if isinstance(edit, FixWeights)} == {2}


@pytest.mark.parametrize("name", SMALL)
def test_a_model_learns_from_a_teacher_without_any_label(name, tmp_path):
    draft, _, _ = run(name, "distillation", tmp_path, hard_weight=0.0, from_scratch=False, labels=False)
    before, after = build(name).parameters(), draft.model.parameters()
    assert any(not torch.equal(own, new) for own, new in zip(before, after, strict=True))
