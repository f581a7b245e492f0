"""Checkpoints as trainings leave them: taken where they are the model's to the last tensor, refused with all that differs."""

import argparse
import io
import json
import pathlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.checkpoints.convert import convert_checkpoint
from toolchain.module.weights import load_weights, save_weights
from toolchain.run.progress import Progress


def make_net(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def make_state(seed=1, width=4):
    net = make_net(width)
    torch.manual_seed(seed)
    return {
        name: torch.randn_like(value) if value.is_floating_point() else value
        for name, value in net.state_dict().items()
    }


def under(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.fixture
def convert(tmp_path):
    """Return a function that saves a content as a checkpoint and converts it for the model."""

    def run(content, *, model=None, take=None, legacy=False):
        path = tmp_path / "best.ckpt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        return convert_checkpoint(
            path,
            model or make_net(),
            tmp_path / "weights.safetensors",
            take=take,
            progress=Progress(stream=io.StringIO(), quiet=True),
        )

    return run


def refuse(convert, content, **options):
    with pytest.raises(ToolchainError) as caught:
        convert(content, **options)
    return caught.value


def assert_holds(tmp_path, state):
    written = load_file(tmp_path / "weights.safetensors")
    assert written.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(written[name], value.to(written[name].dtype)), name
    load_weights(make_net(), tmp_path / "weights.safetensors")


STATE = make_state()
OPTIMIZER = torch.optim.Adam([nn.Parameter(torch.ones(2))])
OPTIMIZER.param_groups[0]["params"][0].grad = torch.ones(2)
OPTIMIZER.step()

TAKEN = {
    "plain": (STATE, ".", ""),
    "DataParallel": (under("module.", STATE), "module", "module."),
    "torch.compile": (under("_orig_mod.", STATE), ".", ""),
    "both": (under("module._orig_mod.", STATE), "module", "module."),
    "compiled in part": ({name.replace("0.", "0._orig_mod."): value for name, value in STATE.items()}, ".", ""),
    "a field of one's own": (under("my_net.", STATE), "my_net", "my_net."),
    "nested": ({"model": STATE, "optimizer": OPTIMIZER.state_dict(), "epoch": 3}, "model", ""),
    "twice nested": ({"ema": {"module": STATE, "decay": 0.999}, "epoch": 3}, "ema/module", ""),
    "averaged": ({**under("module.", STATE), "n_averaged": torch.tensor(3)}, "module", "module."),
    "Lightning": (
        {
            "epoch": 3,
            "global_step": 100,
            "pytorch-lightning_version": "2.5.0",
            "state_dict": {**under("net.", STATE), "loss.weight": torch.ones(3)},
            "optimizer_states": [OPTIMIZER.state_dict()],
            "lr_schedulers": [],
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
            "hyper_parameters": {"lr": 0.1},
        },
        "state_dict/net",
        "net.",
    ),
    "with its settings": (
        {
            "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs")),
            "best": np.float64(0.5),
            "history": np.arange(3.0),
            "state_dict": STATE,
        },
        "state_dict",
        "",
    ),
    "a generator of random numbers beside it": (
        {"state_dict": STATE, "rng_state": torch.get_rng_state()},
        "state_dict",
        "",
    ),
    "the same weights twice": ({"state_dict": STATE, "model": STATE}, "state_dict", ""),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_checkpoint_of_the_model_is_taken_and_what_was_done_is_said(convert, tmp_path, name):
    content, taken, prefix = TAKEN[name]
    done = convert(content)
    assert (done.taken, done.prefix_removed, done.tensors) == (taken, prefix, len(STATE))
    assert_holds(tmp_path, STATE)
    beside = json.loads((tmp_path / "weights.json").read_text())
    assert (beside["converted_from"], beside["taken"], beside["weights_sha256"]) == ("best.ckpt", taken, done.sha256)


def test_what_is_not_taken_is_named(convert):
    done = convert(TAKEN["Lightning"][0])
    assert {"loss.weight", "epoch (int)", "hyper_parameters/lr (float)"} <= set(done.left_out)
    assert any("optimizer_states" in name for name in done.left_out)


def test_the_old_form_of_torch_save_is_taken(convert, tmp_path):
    convert({"state_dict": STATE, "args": argparse.Namespace(lr=0.1)}, legacy=True)
    assert_holds(tmp_path, STATE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_become_the_types_of_the_model_and_are_counted(convert, tmp_path, dtype):
    halves = {name: value.to(dtype) if value.is_floating_point() else value for name, value in STATE.items()}
    done = convert(halves)
    assert done.types_changed == {f"{str(dtype).removeprefix('torch.')} to float32": 6}
    assert_holds(tmp_path, halves)


def test_a_safetensors_file_with_a_prefix_is_taken(convert, tmp_path):
    save_file(under("model.", STATE), tmp_path / "hub.safetensors")
    assert convert((tmp_path / "hub.safetensors").read_bytes()).prefix_removed == "model."
    assert_holds(tmp_path, STATE)


def test_counters_that_an_average_lacks_are_the_models_own(convert):
    done = convert({name: value for name, value in STATE.items() if not name.endswith("num_batches_tracked")})
    assert done.counters_reset == 1


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.embed(x))


def test_tied_weights_may_stand_once(convert, tmp_path):
    weight = torch.randn(5, 3)
    convert({"model.embed.weight": weight}, model=Tied())
    assert torch.equal(load_file(tmp_path / "weights.safetensors")["head.weight"], weight)


def test_tied_weights_of_two_values_are_refused(convert):
    error = refuse(convert, {"embed.weight": torch.zeros(5, 3), "head.weight": torch.ones(5, 3)}, model=Tied())
    assert error.code is ExitCode.MALFORMED
    assert "embed.weight and head.weight" in error.found


BOTH = {"state_dict": STATE, "ema": make_state(2)}
SEVERAL = {
    "state_dict and ema": (BOTH, "state_dict, ema", "ema"),
    "in one table": ({**under("model.", STATE), **under("ema.", make_state(2))}, "ema, model", "ema"),
    "an average in part": (
        {"model": STATE, "model_ema": {name: value + 1 for name, value in STATE.items() if "bias" not in name}},
        "model, model_ema (in part)",
        "model",
    ),
    "compiled and not": ({**STATE, **under("_orig_mod.", make_state(2))}, "., _orig_mod", "."),
    "an average below the names": ({**STATE, **under("ema.", make_state(2))}, "., ema", "."),
    "student and teacher": (
        {**under("student.", STATE), **under("teacher.", make_state(2))},
        "student, teacher",
        "teacher",
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_several_weights_are_never_guessed_among(convert, tmp_path, name):
    content, found, take = SEVERAL[name]
    error = refuse(convert, content)
    assert error.code is ExitCode.USAGE
    assert error.found == found
    assert "--take" in error.fix
    assert not (tmp_path / "weights.safetensors").exists()
    convert(content, take=take)


def test_what_was_named_is_taken(convert, tmp_path):
    convert(BOTH, take="ema")
    assert_holds(tmp_path, BOTH["ema"])


@pytest.mark.parametrize("take", ["emma", "state"])
def test_a_name_that_is_none_of_the_choices_is_refused_with_them(convert, take):
    error = refuse(convert, BOTH, take=take)
    assert (error.code, error.expected) == (ExitCode.USAGE, "one of state_dict, ema")


def test_weights_in_part_are_refused_also_where_they_are_named(convert):
    error = refuse(convert, SEVERAL["an average in part"][0], take="model_ema")
    assert error.code is ExitCode.MALFORMED
    assert "missing: 0.bias, 1.bias" in error.found


def without(*names):
    return {name: value for name, value in STATE.items() if name not in names}


PARTLY = {
    "one is missing": (without("1.running_var"), "1 missing: 1.running_var"),
    "one is too many": ({**STATE, "2.weight": torch.ones(1)}, "1 unexpected: 2.weight"),
    "one under the prefix is too many": (
        {**under("net.", STATE), "net.9.bias": torch.ones(1)},
        "1 unexpected: net.9.bias",
    ),
    "another width": (make_state(width=5), "0.weight (5, 3, 3, 3) where the model has (4, 3, 3, 3)"),
    "a flat weight": (
        {**STATE, "0.weight": STATE["0.weight"].flatten()},
        "0.weight (108,) where the model has (4, 3, 3, 3)",
    ),
    "a finer type": ({**STATE, "0.bias": torch.full((4,), 0.1, dtype=torch.float64)}, "0.bias float64 where"),
    "a whole number": ({**STATE, "0.bias": torch.ones(4, dtype=torch.int64)}, "0.bias int64 where"),
    "NaN": ({**STATE, "0.bias": torch.full((4,), float("nan"))}, "NaN or infinity: 0.bias"),
    "all at once": (
        {**without("0.bias", "1.bias"), "x": torch.ones(1), "1.weight": torch.ones(7)},
        "2 missing: 0.bias, 1.bias; 1 unexpected: x; 1 other shapes: 1.weight",
    ),
    "another model": ({"encoder.weight": torch.ones(3)}, "missing: 0.weight, 0.bias"),
}


@pytest.mark.parametrize("name", PARTLY)
def test_a_checkpoint_that_fits_in_part_is_refused_with_all_that_differs(convert, tmp_path, name):
    content, found = PARTLY[name]
    error = refuse(convert, content)
    assert error.code is ExitCode.MALFORMED
    assert found in error.found
    assert error.fix
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_finer_type_of_the_same_values_is_taken(convert):
    assert convert({**STATE, "0.bias": STATE["0.bias"].double()}).types_changed == {"float64 to float32": 1}


def test_of_hundreds_of_differences_some_are_listed_and_all_are_counted(convert):
    error = refuse(convert, {**STATE, **{f"x{number}": torch.ones(1) for number in range(300)}})
    assert "300 unexpected: " in error.found
    assert "and 276 more" in error.found


def test_a_file_of_the_toolchains_own_compression_is_refused(convert, tmp_path):
    save_weights(make_net(), tmp_path / "own.safetensors", {}, edits=[])
    error = refuse(convert, (tmp_path / "own.safetensors").read_bytes())
    assert error.code is ExitCode.USAGE
    assert "model.weights" in error.fix
