import dataclasses

import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.objectives import learn_labels, make_objective
from toolchain.compress import Draft, compress_draft
from toolchain.compress.quantization.batch_norm import fold_batch_norms
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.compress_entry import FinetuneSection


@pytest.mark.parametrize(
    "entry",
    [
        {"method": "magic"},
        {},
        {"method": "magnitude_pruning", "amount": 1.5},
        {"method": "magnitude_pruning", "amount": 0.5, "x": 1},
        {"method": "magnitude_pruning", "amount": 0.5, "finetune": {"epochs": 0}},
        {"method": "magnitude_pruning", "amount": 0.5, "finetune": 3},
    ],
)
def test_a_wrong_entry_is_a_usage_error_that_names_its_place(material, entry):
    with pytest.raises(ToolchainError, match=r"compress\[0\]") as caught:
        compress_draft(Draft(build_net()), entry, material)
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize("key", ["layers", "skip"])
def test_a_layer_name_that_matches_nothing_is_named(compress, key):
    with pytest.raises(ToolchainError, match="matches nothing") as caught:
        compress(build_net(), method="magnitude_pruning", amount=0.5, **{key: ["blocks.9*"]})
    assert caught.value.code is ExitCode.USAGE
    assert "blocks.9*" in str(caught.value)


def test_nothing_changes_weights_that_are_quantized(compress, material):
    draft = Draft(build_net())
    draft.fix_weights("stem", bits=4)
    with pytest.raises(ToolchainError, match="stem is quantized"):
        compress_draft(draft, {"method": "magnitude_pruning", "amount": 0.5}, material)


def test_a_training_mirrors_and_shifts_nothing_where_the_recipe_forbids_it(material):
    originals = {picture.tobytes() for picture in next(iter(material.calibration.batch(0, 64).values()))}
    seen = []

    def keep(model, batch):
        seen.extend(batch.images.contiguous().numpy())
        return learn_labels()(model, batch)

    own = dataclasses.replace(material, crop_padding=0, flip=False)
    own.fit(Draft(build_net()), FinetuneSection(epochs=1, batch_size=16), name="one", loss=keep)
    assert len(seen) == 64
    assert all(picture.tobytes() in originals for picture in seen)


def test_folding_batch_norms_changes_no_output(material):
    net, pictures = build_net(), torch.rand(4, 3, 8, 8)
    before = net(pictures)
    draft = Draft(net)
    names = fold_batch_norms(draft, material, method="test")
    assert names == ["stem", "blocks.0.conv1", "blocks.0.conv2", "blocks.1.conv1", "blocks.1.conv2"]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in draft.model.modules())
    torch.testing.assert_close(draft.model(pictures), before, rtol=1e-4, atol=1e-5)


def test_a_batch_norm_is_not_folded_where_another_reader_sees_the_convolution(material):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    assert fold_batch_norms(Draft(Branching().eval()), material, method="test") == []


def test_a_model_that_cannot_be_traced_is_refused(material):
    class Dynamic(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ToolchainError, match="cannot follow") as caught:
        fold_batch_norms(Draft(Dynamic()), material, method="qat")
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize("has_training", [True, False])
def test_what_learns_its_own_input_needs_no_target_to_be_trained(material, has_training):
    calibration = dataclasses.replace(material.calibration, targets={})
    own = dataclasses.replace(
        material,
        objective=make_objective("reconstruction"),
        calibration=calibration,
        load_training=lambda: calibration if has_training else None,
    )
    assert own.take_training() is calibration
    with pytest.raises(ToolchainError) as caught:
        own.take_training(["input", "labels"])
    assert "labels" in caught.value.expected
