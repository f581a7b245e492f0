"""Golden inputs of few values are kept as bytes, and come back bit for bit; all others stay as they are."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.agent.manifest import TensorSpec, read_manifest
from toolchain.agent.measure.golden import open_golden
from toolchain.agent.measure.levels import LevelArray, find_levels_path
from toolchain.bundle import GoldenBatch
from toolchain.bundle.levels import compact_array
from toolchain.data.fashion_mnist import transform_images
from toolchain.errors import ExitCode, ToolchainError

RNG = np.random.default_rng(3)


def compact(folder, array):
    """Write an array, compact it, and return whether it was, what is read back, and the numbers that lie there."""
    path = folder / "input-0.npy"
    levels_path = folder / find_levels_path("input-0.npy")
    levels_path.unlink(missing_ok=True)
    np.save(path, array)
    before = path.read_bytes()
    is_compacted = compact_array(path, levels_path)
    numbers = np.load(path)
    if not is_compacted:
        assert (path.read_bytes(), levels_path.exists()) == (before, False)
        return False, numbers, numbers
    return True, LevelArray(numbers, np.load(levels_path), "input-0.npy"), numbers


def assert_same_bits(read, array):
    assert (read.shape, read.dtype, read.ndim) == (array.shape, array.dtype, array.ndim)
    assert read[0 : len(array)].tobytes() == array.tobytes()
    assert np.asarray(read[len(array) - 1]).tobytes() == array[-1].tobytes()


def draw_bytes(*shape):
    return RNG.integers(0, 256, size=shape, dtype=np.uint8)


def normalize(pictures, mean, std):
    """Return pictures (n, C, H, W) of 8 bits as torchvision normalizes them."""
    return ((pictures / np.float32(255) - np.float32(mean)) / np.float32(std)).astype(np.float32)


MEAN, STD = np.reshape([0.485, 0.456, 0.406], (3, 1, 1)), np.reshape([0.229, 0.224, 0.225], (3, 1, 1))


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (transform_images(draw_bytes(40, 28, 28)), (40, 1, 32, 32)),
        (normalize(draw_bytes(20, 3, 16, 16), MEAN, STD), (20, 3, 16, 16)),
        (np.moveaxis(normalize(draw_bytes(20, 3, 16, 16), MEAN, STD), 1, 3), (20, 16, 16, 3)),
        (normalize(np.repeat(draw_bytes(20, 1, 16, 16), 3, axis=1), MEAN, STD), (20, 1, 16, 16)),
        (normalize(draw_bytes(20, 3, 16, 16), MEAN, STD)[:, None], (20, 1, 3, 16, 16)),
        (draw_bytes(20, 3, 16, 16).astype(np.float16), (20, 3, 16, 16)),
        (RNG.integers(0, 200, size=(64, 128)), (64, 128)),
        (draw_bytes(4000).astype(np.float64), (4000,)),
    ],
    ids=[
        "grey in three channels",
        "colours",
        "NHWC",
        "grey, normalized as colours",
        "stacked",
        "fp16",
        "tokens",
        "scalars",
    ],
)
def test_few_values_are_kept_as_bytes_and_come_back_bit_for_bit(tmp_path, array, shape):
    is_compacted, read, numbers = compact(tmp_path, array)
    assert (is_compacted, numbers.shape, numbers.dtype) == (True, shape, np.uint8)
    assert_same_bits(read, array)


@pytest.mark.parametrize(
    "array",
    [
        RNG.normal(size=(40, 3, 16, 16)).astype(np.float32),
        np.arange(4 * 257, dtype=np.float32).reshape(4, 257),
        draw_bytes(40, 28, 28),
        draw_bytes(40, 28, 28) > 100,
        np.zeros((1, 1), np.float32),
        np.zeros((0, 3), np.float32),
    ],
    ids=["sensor", "one value too many", "bytes", "bool", "nothing to gain", "nothing"],
)
def test_all_others_stay_as_they_are(tmp_path, array):
    is_compacted, read, _ = compact(tmp_path, array)
    assert not is_compacted
    assert read.tobytes() == array.tobytes()


def test_values_that_compare_equal_are_told_apart_by_their_bits(tmp_path):
    odd = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45], np.float32)
    payload = np.array([0x7FC00001], np.uint32).view(np.float32)  # another NaN
    array = RNG.choice(np.concatenate([odd, payload]), size=(50, 60))
    is_compacted, read, _ = compact(tmp_path, array)
    assert is_compacted
    assert_same_bits(read, array)


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from([np.float32, np.float16, np.int64]).flatmap(
        lambda dtype: arrays(dtype, st.tuples(st.integers(1, 6), *[st.integers(1, 5)] * 3))
    ),
    repeat=st.sampled_from([1, 40]),
)
def test_any_array_comes_back_bit_for_bit(tmp_path_factory, array, repeat):
    array = np.repeat(array, repeat, axis=0)
    _, read, _ = compact(tmp_path_factory.mktemp("levels"), array)
    assert_same_bits(read, array)


@pytest.fixture
def picture_bundle(make_bundle, bundle_inputs, samples):
    """Return a bundle whose inputs are pictures, and these inputs."""
    pictures = normalize(draw_bytes(70, 3, 8, 8), MEAN, STD)
    return make_bundle(golden=[GoldenBatch(inputs={"input": pictures}, outputs={"logits": samples[1]})]), pictures


def test_a_bundle_gives_its_payloads_the_very_bits_that_the_reference_was_computed_from(picture_bundle):
    bundle, pictures = picture_bundle
    manifest, _ = read_manifest(bundle)
    assert (bundle / "golden/input-0.npy").stat().st_size < pictures.nbytes / 3
    golden = open_golden(bundle, manifest)
    assert golden.read_inputs(5, 69)["input"].tobytes() == pictures[5:69].tobytes()
    assert golden.find_shapes(manifest.inputs)["input"].most == (64, 3, 8, 8)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("input-0.npy", np.full((70, 3, 8, 8), 255, np.uint8)),
        ("input-0.npy", np.zeros((70, 3, 8, 8), np.int8)),
        ("input-0.npy", np.zeros((70, 3, 8, 9), np.uint8)),
        ("input-0.npy", np.zeros((70, 2, 8, 8), np.uint8)),
        ("input-0.npy", np.zeros((70, 192), np.uint8)),
        ("input-0.npy", np.zeros((69, 3, 8, 8), np.uint8)),
        ("input-0.levels.npy", np.zeros((3, 1, 1, 100), np.float64)),
        ("input-0.levels.npy", np.zeros((3, 1, 1, 257), np.float32)),
        ("input-0.levels.npy", np.zeros((3, 1, 1, 0), np.float32)),
        ("input-0.levels.npy", np.zeros((), np.float32)),
    ],
)
def test_numbers_and_levels_that_do_not_fit_are_refused(picture_bundle, name, array):
    bundle, _ = picture_bundle
    manifest, _ = read_manifest(bundle)
    levels = np.load(bundle / "golden/input-0.levels.npy")[..., :200]
    np.save(bundle / "golden/input-0.levels.npy", levels)
    np.save(bundle / "golden" / name, array)
    with pytest.raises(ToolchainError) as caught:
        open_golden(bundle, manifest).read_inputs(0, 70)
    assert caught.value.code == ExitCode.MALFORMED


def test_an_input_of_bytes_is_no_list_of_levels(make_bundle, samples):
    pictures = draw_bytes(70, 3, 8, 8)
    spec = TensorSpec(name="input", dtype="uint8", shape=(None, 3, 8, 8))
    bundle = make_bundle(
        inputs=[spec], golden=[GoldenBatch(inputs={"input": pictures}, outputs={"logits": samples[1]})]
    )
    manifest, _ = read_manifest(bundle)
    assert not (bundle / "golden/input-0.levels.npy").exists()
    read = open_golden(bundle, manifest).read_inputs(0, 70)["input"]
    assert (read.dtype, read.tobytes()) == (np.uint8, pictures.tobytes())


def test_an_array_without_its_levels_is_not_taken_for_floats(picture_bundle):
    bundle, _ = picture_bundle
    manifest, _ = read_manifest(bundle)
    files = tuple(entry for entry in manifest.files if "levels" not in entry.path)
    with pytest.raises(ToolchainError) as caught:
        open_golden(bundle, dataclasses.replace(manifest, files=files))
    assert caught.value.code == ExitCode.MALFORMED
