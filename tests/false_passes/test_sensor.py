"""A model behind a sensor: what would pass on the data and be wrong behind the camera, each beside what is right."""

import numpy as np
import onnx
import pytest

from tests.conftest import build_model
from tests.frames import encode_yuv
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.preprocess.picture import prepare_picture

MEAN, STD = 0.5, 0.15
INPUT = f"""
[input]
colour = "BGR"
size = [8, 8]
resize = "letterbox"
mean = [{MEAN}]
std = [{STD}]
prepared = "../../data/prepared.npz"
"""


@pytest.fixture
def camera(project):
    """Return the tiny project with its pictures as a camera gives them, BGR, and the first as the training prepared them."""
    path = project.folder / "data" / "tiny.npz"
    with np.load(path) as arrays:
        floats, labels = arrays["input"], arrays["labels"]
    numbers = np.rint((floats * STD + MEAN) * 255).clip(0, 255).astype(np.uint8)
    frames = np.ascontiguousarray(numbers.transpose(0, 2, 3, 1)[..., ::-1])
    np.savez(path, input=frames, labels=labels)
    np.savez(path.with_name("prepared.npz"), input=((numbers[:8] / 255 - MEAN) / STD).astype(np.float32))
    recipe = project.folder / "models" / "tiny" / "recipe.toml"
    recipe.write_text(recipe.read_text() + INPUT)
    return project


def change_data(project, change):
    path = project.folder / "data" / "tiny.npz"
    with np.load(path) as arrays:
        np.savez(path, input=change(arrays["input"]), labels=arrays["labels"])


def test_a_camera_s_bytes_are_proven_and_the_bundle_says_how_frames_become_them(camera):
    camera.assert_passed(camera.deploy())
    bundle = camera.out / "bundle"
    manifest, _ = read_manifest(bundle)
    assert (manifest.inputs[0].dtype, manifest.inputs[0].shape) == ("uint8", (None, 8, 8, 3))
    assert np.load(bundle / manifest.golden.inputs["input"]).dtype == np.uint8
    for candidate in manifest.candidates:
        payload = onnx.load(bundle / candidate.path)
        assert payload.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    for pair in manifest.golden.pairs.pictures:
        tensor, _ = prepare_picture(np.load(bundle / pair.picture), manifest.input.picture)
        assert (np.load(bundle / pair.tensor) == tensor).all()
    assert not any("input.prepared" in warning for warning in camera.read_report()["warnings"])


def test_that_nobody_else_prepared_a_sample_is_said(camera):
    camera.edit_recipe('prepared = "../../data/prepared.npz"\n', "")
    camera.assert_passed(camera.deploy())
    assert any("input.prepared" in warning for warning in camera.read_report()["warnings"])


@pytest.fixture
def yuv_camera(camera):
    """Return that project behind a camera that gives NV12, prepared by another hand: BT.601, limited."""
    path = camera.folder / "data" / "tiny.npz"
    with np.load(path) as arrays:
        rgb, labels = arrays["input"][..., ::-1], arrays["labels"]
    frames = np.stack([encode_yuv(picture, "NV12/BT.601/limited") for picture in rgb])
    np.savez(path, input=frames, labels=labels)
    seen = np.stack([decode_frame(frame) for frame in frames[:8]]).transpose(0, 3, 1, 2)
    np.savez(path.with_name("prepared.npz"), input=((seen / 255 - MEAN) / STD).astype(np.float32))
    camera.edit_recipe('colour = "BGR"', 'colour = "NV12"\nmatrix = "BT.601"\nrange = "limited"')
    return camera


def decode_frame(frame):
    """Return an NV12 frame (12, 8, 1) of BT.601 in limited range as RGB, in floats."""
    y = (frame[:8, :, 0] - 16.0) * 255 / 219
    u, v = ((frame[8:, part::2, 0] - 128.0).repeat(2, axis=0).repeat(2, axis=1) * 255 / 224 for part in (0, 1))
    return np.stack([y + 1.402 * v, y - 0.344136 * u - 0.714136 * v, y + 1.772 * u], axis=2).clip(0, 255).round()


def test_a_yuv_camera_is_proven_and_its_payload_gets_rgb(yuv_camera):
    yuv_camera.assert_passed(yuv_camera.deploy())
    manifest, _ = read_manifest(yuv_camera.out / "bundle")
    assert (manifest.input.picture.colour, manifest.inputs[0].shape) == ("NV12/BT.601/limited", (None, 8, 8, 3))
    assert np.load(yuv_camera.out / "bundle" / manifest.golden.pairs.pictures[0].picture).shape == (12, 8, 1)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('colour = "NV12"', 'colour = "NV21"', 'colour = "NV12"'),
        ('range = "limited"', 'range = "full"', 'range = "limited"'),
        ('prepared = "../../data/prepared.npz"\n', "", "prepared"),
    ],
)
def test_yuv_that_is_mixed_up_or_that_nothing_shows_is_refused(yuv_camera, old, new, word):
    yuv_camera.edit_recipe(old, new)
    result = yuv_camera.deploy()
    yuv_camera.assert_stopped(result, 2, "usage")
    assert word in result.stderr


def test_prepared_samples_of_which_there_are_none_prove_nothing(camera):
    np.savez(camera.folder / "data/prepared.npz", input=np.empty((0, 3, 8, 8), np.float32))
    result = camera.deploy()
    camera.assert_stopped(result, 2, "usage")
    assert "agrees with everything" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "fix"),
    [
        ('colour = "BGR"', 'colour = "RGB"', 'model_colour = "BGR"'),
        (f"mean = [{MEAN}]", "mean = [0.4]", "correct [input]"),
        (f"std = [{STD}]", "std = [1.0]", "correct [input]"),
        ("[input]", "[input]\nscale = 1.0", "correct [input]"),
        ("[input]", '[input]\nlayout = "NCHW"', "before any normalization"),
    ],
)
def test_an_input_that_is_not_what_the_training_did_is_refused(camera, old, new, fix):
    camera.edit_recipe(old, new)
    result = camera.deploy()
    camera.assert_stopped(result, 2, "usage")
    assert fix in result.stderr


def test_samples_that_are_normalized_already_are_refused(camera):
    change_data(camera, lambda frames: ((frames / 255 - MEAN) / STD).astype(np.float32))
    result = camera.deploy()
    camera.assert_stopped(result, 2, "usage")
    assert "found: float32" in result.stderr or "found float32" in result.stderr
    camera.edit_recipe("[input]", '[input]\ntype = "float32"')
    camera.edit_recipe('resize = "letterbox"\n', "")
    result = camera.deploy()
    camera.assert_stopped(result, 2, "usage")
    assert "negative light" in result.stderr


def test_an_onnx_file_behind_a_camera_is_held_against_the_file_itself(project):
    folder = project.folder / "models" / "brought"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(build_model("float32"))
    frames = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "frames.npz", input=frames)
    floats = ((frames[:8, ..., ::-1] / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    np.savez(folder / "prepared.npz", input=floats)
    text = INPUT.replace("../../data/prepared.npz", "prepared.npz")
    data = 'name = "npz"\noptions = { path = "frames.npz" }\nmetric = "none"'
    (folder / "recipe.toml").write_text(f'[model]\nonnx = "model.onnx"\n[data]\n{data}\n{text}')
    out = project.folder / "out"
    project.assert_passed(project.run("deploy", "brought", "--target", "board", "--out", out), out)
    manifest, _ = read_manifest(out / "bundle")
    assert manifest.inputs[0].dtype == "uint8"
    assert min(output["sqnr_db"] for output in project.read_report(out)["parity"]) > 20
    project.edit("models/brought/recipe.toml", 'colour = "BGR"', 'colour = "RGB"')
    project.assert_stopped(project.run("deploy", "brought", "--target", "board", "--out", out), 2, "usage", out)


def test_a_model_that_was_trained_for_int8_keeps_its_range_behind_a_camera(camera):
    camera.add_learner("qat", 'method = "qat"\nfinetune = { epochs = 1 }')
    data = camera.folder / "data"
    with np.load(data / "learn.npz") as arrays:
        numbers = np.rint((arrays["input"] * STD + MEAN) * 255).clip(0, 255).astype(np.uint8)
        np.savez(
            data / "learn.npz",
            input=np.ascontiguousarray(numbers.transpose(0, 2, 3, 1)[..., ::-1]),
            labels=arrays["labels"],
        )
    out = camera.folder / "out"
    camera.assert_passed(camera.run("deploy", "tiny-qat", "--target", "board", "--out", out), out)
    assert read_manifest(out / "bundle")[0].inputs[0].dtype == "uint8"
