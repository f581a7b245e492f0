import pytest
import torch

from tests.compress.conftest import build_net
from toolchain.errors import ExitCode, ToolchainError


def test_each_layer_has_a_codebook_of_its_own(compress):
    draft = compress(build_net(), method="kmeans_quantization", bits=3, skip=["stem"])
    for name in draft.list_fixed():
        assert len(torch.unique(draft.model.get_submodule(name).weight)) <= 8
    assert len(torch.unique(draft.model.stem.weight)) > 8
    assert "stem" not in draft.list_fixed()


def test_training_moves_the_centres_and_keeps_their_number(compress):
    entry = {"method": "kmeans_quantization", "bits": 2, "layers": ["blocks.*"]}
    before = compress(build_net(), **entry)
    after = compress(build_net(), **entry, codebook_finetune={"epochs": 2, "batch_size": 16})
    moved = []
    for name in before.list_fixed():
        old, new = (draft.model.get_submodule(name).weight for draft in (before, after))
        assert len(torch.unique(new)) <= 4
        for value in torch.unique(old):
            assert len(torch.unique(new[old == value])) == 1
        moved.append(not torch.equal(old, new))
    assert all(moved)
    assert after.list_fixed() == before.list_fixed()


def test_what_was_pruned_stays_zero_through_a_training_of_the_codebook(compress, material):
    from toolchain.compress import Draft, compress_draft

    draft = Draft(build_net())
    compress_draft(draft, {"method": "magnitude_pruning", "amount": 0.5, "scope": "layer"}, material)
    zeros = draft.model.blocks[0].conv1.weight == 0
    entry = {"method": "kmeans_quantization", "bits": 3, "codebook_finetune": {"epochs": 1, "batch_size": 16}}
    compress_draft(draft, entry, material)
    weight = draft.model.blocks[0].conv1.weight
    assert torch.equal(weight == 0, zeros)
    assert len(torch.unique(weight)) <= 8


@pytest.mark.parametrize("wrong", [{"bits": 1}, {"bits": 9}, {"bits": 4, "codebook_finetune": {"epochs": 0}}])
def test_wrong_options_are_refused(compress, wrong):
    with pytest.raises(ToolchainError) as caught:
        compress(build_net(), method="kmeans_quantization", **wrong)
    assert caught.value.code is ExitCode.USAGE
