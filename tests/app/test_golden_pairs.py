"""The C++ side held against the golden pairs of a bundle, as it is at every opening: what differs is refused, and never answers."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from tests.agent.application.boards import (
    ApplicationBoard,
    make_board,
    make_frames,
    make_golden,
    make_payload_bundle,
    run_bare,
    write_npy,
)
from tests.agent.quick_bundle import MANIFEST
from tests.app.decoding import COUNT, draw_case, list_cases
from tests.app.headers import needs_headers
from tests.conftest import build_model
from toolchain.agent.errors import ExitCode
from toolchain.agent.manifest import DecoderSpec
from toolchain.agent.measure.decoders import find_decoder, list_decoders
from toolchain.agent.measure.levels import find_levels_path
from toolchain.agent.sensor import PictureSpec
from toolchain.bundle.levels import compact_array
from toolchain.bundle.pairs import write_answers, write_picture_pairs

pytestmark = needs_headers


def write_bundle(folder, spec, outputs, inputs, *, pictures=None, compact=False):
    """Write what the check reads of a bundle: a manifest, golden inputs and outputs, and the pairs that Python makes."""
    (folder / "golden").mkdir(parents=True)
    inputs = inputs or {"x": np.zeros((COUNT, 1), np.float32)}
    paths = {}
    for kind, arrays in (("inputs", inputs), ("outputs", outputs)):
        paths[kind] = {name: f"golden/{kind}-{index}.npy" for index, name in enumerate(arrays)}
        for name, array in arrays.items():
            np.save(folder / paths[kind][name], array)
    if compact:
        for path in paths["inputs"].values():
            compact_array(folder / path, folder / find_levels_path(path))
    decoder = None if spec is None else DecoderSpec(**spec)
    pairs = {
        "pictures": [],
        "boxes": None,
        "texts": None,
        "answers": write_answers(decoder, [(inputs, outputs)], folder),
    }
    sensor = None
    if pictures is not None:
        made, pairs["boxes"] = write_picture_pairs(pictures, folder)
        pairs["pictures"] = [vars(pair) for pair in made]
        graph = {"scale": 1.0, "mean": [0.0], "std": [1.0], "model_layout": None, "model_colour": None}
        sensor = {"name": next(iter(inputs)), "picture": vars(pictures), "sound": None, "text": None, "in_graph": graph}
    golden = {**MANIFEST["golden"], **paths, "samples": COUNT, "originals": paths["outputs"], "pairs": pairs}
    described = {
        **MANIFEST,
        "golden": golden,
        "input": sensor,
        "metric": {**MANIFEST["metric"], "decoder": spec},
        **{kind: [describe(name, array) for name, array in {**inputs, **outputs}.items() if name in paths[kind]] for kind in paths},
        "files": [
            {"path": path.relative_to(folder).as_posix(), "size_bytes": path.stat().st_size, "sha256": "0" * 64}
            for path in sorted(folder.rglob("*.npy"))
        ],
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(described))
    return folder


def describe(name, array):
    return {"name": name, "dtype": str(array.dtype), "shape": [None, *array.shape[1:]]}


@pytest.fixture
def check(sanitized):
    """Return a function that returns what is said of each bundle."""

    def run(*folders):
        command = [str(sanitized / "check_golden"), *map(str, folders)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout.splitlines()

    return run


def spoil(folder, name, change):
    path = folder / "golden" / f"{name}.npy"
    np.save(path, change(np.load(path)))


def change_one(array):
    """Return the array with one other number: a class, a byte, or a score by more than exponentials differ."""
    changed = array.copy()
    flat = changed.reshape(-1)
    place = int(np.argmax(np.isfinite(flat))) if flat.dtype.kind == "f" else 0
    flat[place] = flat[place] * 1.01 + 0.01 if flat.dtype.kind == "f" else flat[place] ^ 1
    assert not np.array_equal(changed, array, equal_nan=array.dtype.kind == "f")
    return changed


# One test: a process for each of some sixty bundles would take a minute.
def test_every_decoder_is_held_against_the_golden_answers_and_one_other_number_of_them_is_refused(check, tmp_path):
    bundles, spoiled, names = [], [], set()
    for index, (spec, outputs, inputs) in enumerate(list_cases()):
        if spec["options"].get("steps_first") or any(len(array) != COUNT for array in outputs.values()):
            continue  # arrays whose first axis is no sample
        bundles.append(write_bundle(tmp_path / f"{index}", spec, outputs, inputs))
        for path in (bundles[-1] / "golden").glob("answer-*.npy") if spec["name"] not in names else ():
            spoiled.append(tmp_path / f"{index}-{path.stem}")
            shutil.copytree(bundles[-1], spoiled[-1])
            spoil(spoiled[-1], path.stem, change_one)
        names.add(spec["name"])
    assert names == set(list_decoders())
    assert check(*bundles) == ["0"] * len(bundles)
    assert len(spoiled) >= len(names)
    for folder, said in zip(spoiled, check(*spoiled), strict=True):
        assert said.startswith("18 the decoder of this application does not make of golden outputs"), (folder, said)


def test_a_decoder_that_is_another_than_the_answers_were_made_by_is_refused(check, tmp_path):
    spec, outputs, inputs = draw_case("softmax")
    folder = write_bundle(tmp_path / "one", spec, outputs, inputs)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["metric"]["decoder"]["name"] = "sigmoid"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert check(folder)[0].startswith("18 ")


def test_inputs_that_a_decoder_reads_come_out_of_their_levels(check, tmp_path):
    bytes_of = np.random.default_rng(1).integers(0, 256, (COUNT, 3, 20, 20)).astype(np.float32)
    given = (bytes_of / np.float32(255) - np.float32(0.5)) / np.array([0.2, 0.3, 0.4], np.float32)[:, None, None]
    outputs = {"out": given + np.float32(0.25)}
    spec = {"name": "reconstruction_error", "options": {}}
    folder = write_bundle(tmp_path / "one", spec, outputs, {"x": given}, compact=True)
    assert (folder / "golden/inputs-0.levels.npy").is_file()
    broken = write_bundle(tmp_path / "two", spec, outputs, {"x": given}, compact=True)
    spoil(broken, "inputs-0", lambda numbers: numbers[:, :2])
    assert [said[:2] for said in check(folder, broken)] == ["0", "23"]


@pytest.mark.parametrize("colour", ["RGB", "grey", "NV12/BT.709/limited"])
def test_frames_are_held_against_the_inputs_that_they_became_and_their_boxes_bit_for_bit(colour, check, tmp_path):
    spec, outputs, _ = draw_case("softmax")
    channels = 1 if colour == "grey" else 3
    inputs = {"x": np.zeros((COUNT, 12, 16, channels), np.uint8)}
    kinds = {"type": "uint8", "layout": "NHWC", "colour": colour, "height": 12, "width": 16, "fill": 114}
    picture = PictureSpec(**kinds, resize="letterbox", crop_share=1.0)
    changes = {
        "tensor-1": lambda tensor: tensor ^ (np.arange(tensor.size).reshape(tensor.shape) == 7),
        "restored-2": lambda boxes: np.nextafter(boxes, np.float32(1e9)),
        "boxes": lambda boxes: boxes[:, :3],
        "picture-0": lambda frame: frame[:0],
    }
    folders = [write_bundle(tmp_path / "right", spec, outputs, inputs, pictures=picture)]
    for name, change in changes.items():
        folders.append(write_bundle(tmp_path / name, spec, outputs, inputs, pictures=picture))
        spoil(folders[-1], name, change)
    folders.append(write_bundle(tmp_path / "another", spec, outputs, inputs, pictures=picture))
    manifest = json.loads((folders[-1] / "manifest.json").read_text())
    manifest["input"]["picture"]["fill"] = 113
    (folders[-1] / "manifest.json").write_text(json.dumps(manifest))
    assert [int(said.split()[0]) for said in check(*folders)] == [0, 18, 18, 23, 2, 18]


@pytest.fixture(scope="module")
def answered(keys, bytecode, tmp_path_factory):
    """Return the root of a board whose bundle has golden answers of a softmax; for copying only."""
    logits = run_bare(build_model("float32"), make_frames())
    scores = find_decoder("softmax", {}).decode({"logits": logits}, {})["scores"]
    pairs = {"pictures": [], "boxes": None, "texts": None, "answers": {"scores": "golden/answer-0.npy"}}
    files = {"in": make_frames(), "out": logits, "answer-0": scores}
    bundle = make_payload_bundle(
        "float32",
        decoder={"name": "softmax", "options": {}},
        golden={**make_golden(["logits"], samples=len(logits)), "pairs": pairs},
        extra={f"golden/{name}.npy": write_npy(array) for name, array in files.items()},
    )
    board = make_board(tmp_path_factory.mktemp("answered") / "root", keys, bytecode, bundle)
    (board.root / "still_proven.py").write_text("print('proven')\n")
    return board.root


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (lambda scores: scores, 0, ""),
        (lambda scores: scores[:3], 0, ""),
        (lambda scores: scores * np.float32(1.01), ExitCode.PARITY, "Options::decodes"),
        (lambda scores: scores[:, ::-1].copy(), ExitCode.PARITY, "number 0"),
        (lambda scores: scores.astype(np.float64), ExitCode.PARITY, "float64"),
        (lambda scores: scores[:0], ExitCode.MALFORMED, "of no sample"),
        (np.asfortranarray, ExitCode.MALFORMED, "C order"),
        (None, ExitCode.CONTENT, "gone"),
    ],
)
def test_a_release_whose_answers_this_application_does_not_make_does_not_open_unless_its_outputs_are_asked_for_alone(
    change, code, word, answered, bytecode, sanitized, frames, tmp_path
):
    (tmp_path / "board").mkdir()
    shutil.copytree(answered, tmp_path / "board/root", symlinks=True)
    board = ApplicationBoard(tmp_path / "board/root", bytecode)
    path = board.release / "golden/answer-0.npy"
    stored = np.load(path)
    path.unlink()
    if change is not None:
        path.write_bytes(write_npy(change(stored)))
    (tmp_path / "frames").write_bytes(frames.tobytes())
    command = [sanitized / "edge_app_run", board.root, tmp_path / "a", f"input={tmp_path / 'frames'}", "--batch", 6]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert (done.returncode, word in done.stderr) == (code, True), done.stderr
    done = subprocess.run([*map(str, command), "--raw"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.fromfile(tmp_path / "a.logits", np.float32), run_bare(str(board.payload), frames).ravel())
    done = subprocess.run([*map(str, command), "--raw", "--decode"], capture_output=True, text=True, check=False)
    assert (done.returncode, "opened without a decoder" in done.stderr) == (ExitCode.USAGE, True), done.stderr
