"""A recipe's metric, and the decoder before it: its own, its task's, or none."""

from __future__ import annotations

import pytest

from toolchain.agent.manifest import DecoderSpec
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.recipe import read_recipe
from toolchain.tasks.scoring import describe_metric, load_scoring

LEAST = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "npz"
options = { path = "data.npz" }
"""


@pytest.fixture
def recipe(tmp_path):
    """Return what reads a recipe with this text behind the least one."""

    def read(text):
        (tmp_path / "recipe.toml").write_text(LEAST + text)
        return read_recipe(tmp_path / "recipe.toml")

    return read


@pytest.mark.parametrize(
    ("text", "metric", "decoder"),
    [
        ("", "top1", None),
        ("metric = 'top5'", "top5", None),
        ("metric = 'none'", None, None),
        ("[task]\nname = 'segmentation'", "miou", DecoderSpec(name="argmax_mask")),
        ("[task]\nname = 'segmentation'\nmetric = 'dice'", "dice", DecoderSpec(name="argmax_mask")),
        ("metric = 'dice'\n[task]\nname = 'segmentation'", "dice", DecoderSpec(name="argmax_mask")),
        ("[task]\nname = 'segmentation'\nmetric = 'agreement'", "agreement", None),
        ("[task]\nname = 'segmentation'\n[output]\ndecode = 'none'", "miou", None),
        ("[task]\nname = 'segmentation'\n[output]\ndecode = 'threshold_mask'", "miou", DecoderSpec("threshold_mask")),
        (
            "[task]\nname = 'segmentation'\n[output]\noptions = { layout = 'NHWC' }",
            "miou",
            DecoderSpec(name="argmax_mask", options={"layout": "NHWC"}),
        ),
        (
            "[task]\nname = 'transcription'\noptions = { alphabet = 'ab' }",
            "cer",
            DecoderSpec(name="ctc_greedy", options={"alphabet": "ab", "blank": 0}),
        ),
    ],
)
def test_the_metric_and_its_decoder_are_the_recipes_or_its_tasks(recipe, text, metric, decoder):
    found = describe_metric(recipe(text))
    assert (found.name, found.decoder) == (metric, decoder)


def test_every_task_of_the_toolchain_has_a_metric_and_a_decoder_that_work_together(recipe):
    for task in ("multi_label", "regression", "reconstruction", "tokens", "embedding"):
        assert load_scoring(recipe(f"[task]\nname = '{task}'")) is not None
    detection = "[task]\nname = 'detection'\noptions = { strides = [4, 8], classes = 3 }"
    assert load_scoring(recipe(detection)).is_decoded


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[task]\nname = 'segmentation'\nmetric_options = { ignored = 1 }", "task.metric_options"),
        ("[task]\nname = 'segmentation'\n[output]\noptions = { outptu = 'x' }", "output.options"),
        ("[output]\ndecode = 'argmax_masks'", "output.decode"),
        ("[task]\nmetric = 'topp1'", "task.metric"),
        ("metric = 'top5'\n[task]\nmetric = 'top1'", "task.metric and data.metric"),
        ("[task]\nname = 'transcription'", "task.options"),
    ],
)
def test_what_is_wrong_is_refused_by_its_key(recipe, text, where):
    with pytest.raises(ToolchainError) as caught:
        load_scoring(recipe(text))
    assert caught.value.code is ExitCode.USAGE
    assert where in caught.value.where
    assert caught.value.fix
