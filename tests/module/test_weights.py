import json

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from torch import nn

from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.weights import load_weights, save_weights


def make_model(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def refuse(path, model=None):
    with pytest.raises(ToolchainError) as caught:
        load_weights(model or make_model(), path)
    return caught.value


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "weights.safetensors"
    saved, loaded = make_model(), make_model()
    sha256 = save_weights(saved, path, {"seed": 0})
    load_weights(loaded, path)
    for name, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    assert json.loads(path.with_suffix(".json").read_text()) == {"seed": 0, "weights_sha256": sha256}


def test_a_header_whose_length_begins_as_a_pickle_does_is_loaded(tmp_path):
    path = tmp_path / "weights.safetensors"
    model = make_model()
    contents = (save(model.state_dict(), metadata={"padding": "x" * count}) for count in range(0, 512, 8))
    path.write_bytes(next(content for content in contents if content[:1] == b"\x80"))
    load_weights(make_model(), path)


def test_a_model_in_channels_last_is_saved(tmp_path):
    path = tmp_path / "weights.safetensors"
    model = make_model().to(memory_format=torch.channels_last)
    save_weights(model, path, {})
    assert torch.equal(load_file(path)["0.weight"], model[0].weight)


def test_the_same_weights_are_the_same_bytes(tmp_path):
    model = make_model()
    assert save_weights(model, tmp_path / "a.safetensors", {}) == save_weights(model, tmp_path / "b.safetensors", {})


def test_missing_weights_are_exit_3_and_say_how_to_make_them(tmp_path):
    error = refuse(tmp_path / "resnet8" / "weights.safetensors")
    assert error.code is ExitCode.MISSING
    assert error.fix == "make train MODEL=resnet8"


def test_missing_weights_point_to_the_readme_of_the_model(tmp_path):
    (tmp_path / "README.md").write_text("bring them")
    assert "README.md" in refuse(tmp_path / "weights.safetensors").fix


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_with_the_reason_and_not_run(tmp_path, zipped):
    trace = tmp_path / "trace"
    path = tmp_path / "weights.safetensors"
    torch.save({"0.weight": Trap(str(trace))}, path, _use_new_zipfile_serialization=zipped)
    error = refuse(path)
    assert error.code is ExitCode.MALFORMED
    assert "executes the code" in error.what
    assert f"toolchain convert {path} --model" in error.fix
    assert not trace.exists()


def header(text, tensors=b""):
    return len(text).to_bytes(8, "little") + text + tensors


GOOD = save(make_model().state_dict())
CORRUPT = {
    "empty": b"",
    "text": b"these are no weights",
    "half a file": GOOD[: len(GOOD) // 2],
    "one byte short": GOOD[:-1],
    "one byte long": GOOD + b"x",
    "a header of 8 EB": b"\xff" * 7 + b"\x7f" + GOOD[8:],
    "no JSON": header(b"{" * 20),
    "an unknown type": header(b'{"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    "offsets outside": header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', bytes(4)),
    "offsets and shape that differ": header(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}', bytes(4)),
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_file_is_exit_23_and_named(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    error = refuse(path)
    assert error.code is ExitCode.MALFORMED
    assert str(path) in error.where


def change(tmp_path, edit):
    tensors = make_model().state_dict()
    edit(tensors)
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path)
    return path


def test_other_names_are_refused_and_listed(tmp_path):
    def edit(tensors):
        tensors["2.weight"] = tensors.pop("0.weight")

    error = refuse(change(tmp_path, edit))
    assert error.code is ExitCode.MALFORMED
    assert "0.weight" in error.expected
    assert "2.weight" in error.found


def test_only_the_first_of_many_names_are_listed(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({f"x{number}": torch.zeros(1) for number in range(9)}, path)
    assert refuse(path).found == "also x0, x1, x2 and 6 more"


def test_other_shapes_are_refused_and_listed(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(make_model(width=8).state_dict(), path)
    error = refuse(path)
    assert error.code is ExitCode.MALFORMED
    assert "(4, 3, 3, 3)" in error.expected
    assert "(8, 3, 3, 3)" in error.found


def test_a_type_that_would_lose_precision_is_refused(tmp_path):
    def edit(tensors):
        tensors["0.weight"] = tensors["0.weight"].double()

    error = refuse(change(tmp_path, edit))
    assert error.code is ExitCode.MALFORMED
    assert "float64" in error.found


def test_an_integer_in_place_of_a_float_is_refused(tmp_path):
    def edit(tensors):
        tensors["0.weight"] = tensors["0.weight"].to(torch.int8)

    assert refuse(change(tmp_path, edit)).code is ExitCode.MALFORMED


def test_a_smaller_float_type_is_kept_exactly(tmp_path):
    def edit(tensors):
        tensors["0.weight"] = tensors["0.weight"].half()

    path = change(tmp_path, edit)
    model = make_model()
    load_weights(model, path)
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model[0].weight, load_file(path)["0.weight"].float())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    def edit(tensors):
        tensors["1.running_var"][2] = value

    error = refuse(change(tmp_path, edit))
    assert error.code is ExitCode.MALFORMED
    assert "1.running_var" in error.found


def test_refused_weights_leave_the_model_as_it_was(tmp_path):
    def edit(tensors):
        tensors["0.weight"] += 1
        tensors["1.bias"][0] = float("nan")

    model = make_model()
    before = model[0].weight.clone()
    refuse(change(tmp_path, edit), model)
    assert torch.equal(model[0].weight, before)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.last.weight = self.first.weight


@pytest.mark.parametrize("names", [["first.weight"], ["last.weight"], ["first.weight", "last.weight"]])
def test_tied_weights_may_stand_in_the_file_once(tmp_path, names):
    save_file(dict.fromkeys(names, torch.eye(3)) if len(names) == 1 else {name: torch.eye(3) for name in names},
              tmp_path / "w.safetensors")  # fmt: skip
    model = Tied()
    load_weights(model, tmp_path / "w.safetensors")
    assert torch.equal(model.first.weight, torch.eye(3))
    assert model.last.weight is model.first.weight


def test_two_values_for_one_tied_tensor_are_refused(tmp_path):
    save_file({"first.weight": torch.eye(3), "last.weight": torch.ones(3, 3)}, tmp_path / "w.safetensors")
    error = refuse(tmp_path / "w.safetensors", Tied())
    assert error.code is ExitCode.MALFORMED
    assert error.expected == "last.weight equal to first.weight"


def test_a_name_that_is_missing_and_not_tied_is_refused(tmp_path):
    save_file({}, tmp_path / "w.safetensors")
    error = refuse(tmp_path / "w.safetensors", Tied())
    assert error.code is ExitCode.MALFORMED
    assert error.expected == "also first.weight, last.weight"


class Extra(nn.Module):
    def get_extra_state(self):
        return {"calls": 1}


def test_state_that_is_no_tensor_is_refused_by_its_name(tmp_path):
    save_file({}, tmp_path / "w.safetensors")
    error = refuse(tmp_path / "w.safetensors", nn.Sequential(Extra()))
    assert error.code is ExitCode.USAGE
    assert error.where == "model.build: 0._extra_state"


def test_a_lazy_module_without_a_shape_is_refused_by_its_name(tmp_path):
    save_file({}, tmp_path / "w.safetensors")
    error = refuse(tmp_path / "w.safetensors", nn.Sequential(nn.LazyLinear(3)))
    assert error.code is ExitCode.USAGE
    assert error.where == "model.build: 0.weight"
