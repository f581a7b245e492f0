"""`toolchain init`: whole or not at all, never over what is there, and what it writes is what the tool reads."""

import io
import os

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.agent.measure.text_bundle import TEXTS, build_reader, read_tokenizer
from tests.conftest import build_model
from tests.texts import write_tokenizer_json
from toolchain.begin.init import begin_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.builder import build_model as build_module
from toolchain.module.weights import load_weights
from toolchain.project.find import find_recipe, list_models
from toolchain.run.cache import Cache
from toolchain.run.progress import Progress
from toolchain.stages.run import Run

_MODEL = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x)

class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.block = Block()
        self.head = nn.Linear(4, classes)

    def forward(self, picture):
        return self.head(self.block(picture).mean((2, 3)))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a working folder with a Python file, an ONNX file, a checkpoint and data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(_MODEL)
    (tmp_path / "net.onnx").write_bytes(build_model("float32"))
    state = {"block.conv.weight": torch.ones(4, 3, 3, 3), "block.conv.bias": torch.ones(4)}
    state |= {"head.weight": torch.ones(4, 4), "head.bias": torch.ones(4)}
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "best.ckpt")
    pictures = np.ones((20, 3, 8, 8), np.float32)
    np.savez(tmp_path / "labelled.npz", input=pictures, labels=np.arange(20) % 4)
    np.savez(tmp_path / "plain.npz", input=pictures)
    np.savez(tmp_path / "masks.npz", input=pictures, mask=np.zeros((20, 8, 8), np.int64))
    np.savez(tmp_path / "boxes.npz", **{
        "input": pictures,
        "boxes.values": np.zeros((0, 4), np.float32), "boxes.offsets": np.zeros(21, np.int64),
        "classes.values": np.zeros(0, np.int64), "classes.offsets": np.zeros(21, np.int64),
    })  # fmt: skip
    np.savez(tmp_path / "other.npz", picture=pictures)
    return tmp_path


def begin(name, source, *, data=None, weights=None, take=None):
    return begin_model(
        name, source, data=data, weights=weights, take=take, progress=Progress(stream=io.StringIO(), quiet=True)
    )


def refuse(name, source, **options):
    with pytest.raises(ToolchainError) as caught:
        begin(name, source, **options)
    assert caught.value.fix
    return caught.value


def test_a_python_file_with_weights_and_data_lacks_nothing(folder):
    begun = begin("mine", "net.py", data=folder / "labelled.npz", weights=folder / "best.ckpt")
    assert begun.missing == ()
    assert begun.next == "toolchain deploy mine --target cpu"
    recipe = find_recipe("mine")
    assert (recipe.task.name, recipe.metric_name, recipe.data.options["split"]) == ("classification", "top1", True)
    load_weights(build_module(recipe), recipe.folder / "weights.safetensors")
    assert sorted(path.name for path in recipe.folder.iterdir()) == [
        "model.py", "recipe.toml", "weights.json", "weights.safetensors",
    ]  # fmt: skip


def test_where_weights_lie_in_a_checkpoint_is_told_and_nothing_of_a_file_that_holds_nothing_else(folder):
    state = torch.load("best.ckpt", weights_only=True)["state_dict"]
    torch.save({name.removeprefix("module."): value for name, value in state.items()}, folder / "w.pt")
    said = {name: begin(name[0], "net.py", weights=folder / name).said for name in ("best.ckpt", "w.pt")}
    for name, text in (("best.ckpt", ", state_dict/module, its prefix module. removed"), ("w.pt", "")):
        assert f"weights.safetensors are 4 tensors of {folder / name}{text}" in said[name]


def test_an_onnx_file_with_data_lacks_nothing_and_drift_judges_it_without_labels(folder):
    begun = begin("net", "net.onnx", data=folder / "plain.npz")
    assert begun.missing == ()
    recipe = find_recipe("net")
    assert recipe.metric_name is None
    assert (recipe.folder / "model.onnx").read_bytes() == (folder / "net.onnx").read_bytes()
    assert any("a guess: the task is classification, because the output is logits" in text for text in begun.said)


@pytest.mark.parametrize(
    ("data", "task", "metric", "targets"),
    [
        ("labelled.npz", "classification", "top1", None),
        ("plain.npz", "classification", None, None),
        ("masks.npz", "segmentation", "miou", ["mask"]),
        ("boxes.npz", "detection", "map50", ["boxes", "classes"]),
    ],
)
def test_the_task_is_guessed_from_the_targets_in_the_data(folder, data, task, metric, targets):
    begun = begin("net", "net.onnx", data=folder / data)
    recipe = find_recipe("net")
    assert (recipe.task.name, recipe.metric_name) == (task, metric)
    assert recipe.data.options.get("targets") == targets
    assert any(f"a guess: the task is {task}" in text for text in begun.said)


def test_a_model_of_tokens_takes_its_tokenizer_along_and_the_texts_are_no_input(folder):
    (folder / "reader.onnx").write_bytes(build_reader())
    (folder / "tokenizer.json").write_bytes(write_tokenizer_json())
    text = read_tokenizer()
    np.savez(folder / "texts.npz", text=np.array(TEXTS), **text.tokenizer.tokenize(TEXTS, text.ids))
    begun = begin("reader", "reader.onnx", data=folder / "texts.npz")
    recipe = find_recipe("reader")
    assert (recipe.input.text.file, recipe.input.text.length) == ("tokenizer.json", 16)
    assert (recipe.folder / "tokenizer.json").read_bytes() == write_tokenizer_json()
    assert any("input_ids takes the tokens of a text" in said for said in begun.said)
    Run(recipe=recipe, cache=Cache(folder / "cache"), progress=Progress(stream=io.StringIO(), quiet=True))
    begin("unread", "reader.onnx")
    assert find_recipe("unread").input is None


def test_without_data_it_is_said_which(folder):
    begun = begin("net", "net.onnx")
    assert len(begun.missing) == 1
    assert "input float32 (N, 3, 8, 8)" in begun.missing[0]
    assert find_recipe("net").metric_name is None


def test_without_weights_and_data_of_a_python_file_both_are_missing_and_the_input_is_guessed(folder):
    missing = begin("net", "net.py:Net").missing
    assert [text.partition(":")[0] for text in missing] == ["weights", "data"]
    assert "picture float32 (samples, 3, height, width)" in missing[1]


def test_a_checkpoint_alone_makes_a_file_to_write_the_model_in(folder):
    begun = begin("net", "best.ckpt")
    assert [text.partition(":")[0] for text in begun.missing] == ["the model", "the weights, then", "data"]
    text = (folder / "models" / "net" / "model.py").read_text()
    assert "# module.block.conv.weight (4, 3, 3, 3) F32\n" in text
    with pytest.raises(ToolchainError, match=r"write the model of best\.ckpt here"):
        build_module(find_recipe("net"))


def test_a_file_that_needs_its_neighbours_stays_where_it_is(folder):
    (folder / "blocks.py").write_text("from torch import nn\n")
    (folder / "net.py").write_text("from blocks import nn\n\ndef build():\n    return nn.Linear(2, 2)\n")
    begun = begin("net", "net.py")
    assert isinstance(build_module(find_recipe("net")), nn.Linear)
    assert not (folder / "models" / "net" / "model.py").exists()
    assert "net.py stays where it is" in begun.said[0]


def test_a_builder_that_needs_options_is_written_and_they_are_named(folder):
    (folder / "net.py").write_text("def build(classes, *, width):\n    raise RuntimeError\n")
    assert begin("net", "net.py").missing[0].startswith("build_options = { classes = …, width = … }")


def test_an_onnx_file_with_external_data_stays_where_it_is(folder):
    model = onnx.load(folder / "net.onnx")
    onnx.save(model, folder / "big.onnx", save_as_external_data=True, size_threshold=0, location="big.data")
    begin("net", "big.onnx", data=folder / "plain.npz")
    recipe = find_recipe("net")
    assert (recipe.folder / recipe.model.onnx).resolve() == folder / "big.onnx"


def test_names_in_a_strangers_file_write_no_keys(folder):
    name = 'x"\n[gates]\nmetric_drop_max = 1.0\n#'
    model = onnx.load(folder / "net.onnx")
    model.graph.output[0].name = model.graph.node[-1].output[0] = name
    onnx.save(model, folder / "net.onnx")
    begin("net", "net.onnx", data=folder / "labelled.npz")
    recipe = find_recipe("net")
    assert recipe.gates.metric_drop_max is None
    assert "metric_drop_max" in (recipe.folder / "recipe.toml").read_text().partition("[model]")[0]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/abs", "-x", ".hidden", "a b", "ü", "x" * 65])
def test_a_name_that_is_no_folder_of_models_is_refused(folder, name):
    assert refuse(name, "net.onnx").code is ExitCode.USAGE
    assert not (folder / "models").exists()


@pytest.mark.parametrize("kind", ["folder", "file", "link to nowhere"])
def test_what_is_there_is_never_overwritten(folder, kind):
    (folder / "models").mkdir()
    path = folder / "models" / "net"
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    before = os.lstat(path)
    assert "already" in refuse("net", "net.onnx").what
    assert os.lstat(path) == before


def test_a_second_model_leaves_the_schema_for_editors_alone(folder):
    begin("one", "net.onnx")
    (folder / "models" / "recipe.schema.json").write_text("mine")
    begin("two", "net.onnx")
    assert (folder / "models" / "recipe.schema.json").read_text() == "mine"


def _empty(folder, name):
    (folder / name).touch()
    return name


def _pipe(folder, name):
    os.mkfifo(folder / name)
    return name


def _write(text):
    def write(folder, name):
        (folder / name).write_text(text)
        return name

    return write


WRONG = {
    "nothing there": ("none.onnx", 2, None),
    "a folder": ("models.onnx", 2, lambda folder, name: (folder / name).mkdir()),
    "a pipe": ("pipe.onnx", 2, _pipe),
    "another kind": ("net.tflite", 2, _empty),
    "an empty ONNX file": ("empty.onnx", 23, _empty),
    "an empty checkpoint": ("empty.pt", 23, _empty),
    "an empty Python file": ("empty.py", 2, _empty),
    "no Python": ("broken.py", 2, _write("def build(:")),
    "two models": ("two.py", 2, _write("from torch import nn\nclass A(nn.Module): ...\nclass B(nn.Module): ...\n")),
    "no such function": ("net.py:None", 2, None),
    "code that fails": ("fails.py", 2, _write("def build():\n    raise RuntimeError('no')\n")),
    "a package that is not installed": ("lacks.py", 3, _write("import nowhere_to_be_found\ndef build(): ...\n")),
    "no module": ("number.py", 2, _write("def build():\n    return 3\n")),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_model_is_refused_and_leaves_nothing(folder, name):
    source, code, make = WRONG[name]
    if make is not None:
        make(folder, source)
    before = sorted(folder.rglob("*"))
    assert refuse("net", source).code == code
    assert sorted(folder.rglob("*")) == before
    assert "net" not in list_models()


@pytest.mark.parametrize(
    ("source", "options", "code"),
    [
        ("net.onnx", {"data": "none.npz"}, 3),
        ("net.onnx", {"data": "other.npz"}, 2),
        ("net.onnx", {"data": "net.onnx"}, 23),
        ("net.onnx", {"weights": "best.ckpt"}, 2),
        ("net.py", {"weights": "none.ckpt"}, 2),
        ("net.py", {"weights": "net.onnx"}, 23),
        ("net.py", {"weights": "best.ckpt", "take": "ema"}, 2),
    ],
)
def test_data_and_weights_that_do_not_fit_are_refused_and_leave_nothing(folder, source, options, code):
    before = sorted(folder.rglob("*"))
    options = {key: folder / value if key != "take" else value for key, value in options.items()}
    assert refuse("net", source, **options).code == code
    assert sorted(folder.rglob("*")) == before
