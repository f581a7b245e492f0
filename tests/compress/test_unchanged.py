import pytest

from tests.compress.conftest import build_net
from toolchain.compress import Draft
from toolchain.compress.unchanged import digest_weights, refuse_unchanged
from toolchain.errors import ExitCode, ToolchainError


def look(change):
    draft = Draft(build_net())
    draft.model.head.weight.data[0] = 0
    weights, edits = digest_weights(draft), draft.edits
    change(draft)
    refuse_unchanged(draft, weights, edits, method="some_method", where="recipe.toml: compress[0]")


def keep_zeros_of(name):
    return lambda draft: draft.keep_zeros(name)


@pytest.mark.parametrize("change", [lambda draft: draft.model.stem.weight.data.mul_(1.0), keep_zeros_of("stem")])
def test_a_model_that_is_as_before_is_no_success(change):
    with pytest.raises(ToolchainError, match="some_method changed nothing") as caught:
        look(change)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda draft: draft.model.stem.weight.data[0, 0, 0, 0].add_(1.0),
        lambda draft: draft.fix_weights("stem", bits=8),
        lambda draft: draft.remove("blocks.0"),
        keep_zeros_of("head"),
    ],
)
def test_another_number_or_another_promise_of_the_weights_is_a_change(change):
    look(change)


def test_a_training_that_moves_no_weight_is_no_success(compress):
    entry = {"method": "distillation", "teacher": "another", "hard_weight": 0.0}
    with pytest.raises(ToolchainError, match="distillation changed nothing"):
        compress(build_net(), **entry, finetune={"epochs": 1, "learning_rate": 1e-30, "weight_decay": 0.0})
