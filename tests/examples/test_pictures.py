import numpy as np
import onnx
import onnx.parser
import pytest
from PIL import Image

from tests.agent.application.boards import make_board, make_golden, make_payload_bundle
from toolchain.agent.application.errors import FrameError
from toolchain.agent.application.model import open_current
from toolchain.agent.errors import ExitCode

# A detector that answers every picture alike: two boxes, of which the second is none.
_MODEL = """<ir_version: 9, opset_import: ["" : 17]>
net (float[N,1,96,96] input) => (float[N,2,4] boxes, float[N,2,3] scores)
<float[1,12] nothing = {0,0,0,0,0,0,0,0,0,0,0,0}, float[12] box = {12,24,60,84,0,0,9,9,0,0,0,0},
 float[12] score = {0.1,0.9,0.0,0.1,0.1,0.0,0,0,0,0,0,0}, int64[3] box_shape = {-1,3,4}, int64[3] score_shape = {-1,4,3},
 int64[2] two = {0,0}, int64[1] zero = {0}, int64[1] end = {2}, int64[1] axis = {1}>
{
    pooled = GlobalAveragePool (input)
    flat = Flatten (pooled)
    still = MatMul (flat, nothing)
    all_boxes = Add (still, box)
    all_scores = Add (still, score)
    three = Reshape (all_boxes, box_shape)
    four = Reshape (all_scores, score_shape)
    boxes = Slice (three, zero, end, axis)
    scores = Slice (four, zero, end, axis)
}"""


# The same behind a camera.
_CAMERA_MODEL = _MODEL.replace("float[N,1,96,96] input", "uint8[N,96,96,3] input").replace(
    "pooled = GlobalAveragePool (input)",
    """floats = Cast <to = 1> (input)
    grey = ReduceMean <axes = [3], keepdims = 1> (floats)
    planes = Transpose <perm = [0, 3, 1, 2]> (grey)
    pooled = GlobalAveragePool (planes)""",
)
_PICTURE = {"type": "uint8", "layout": "NHWC", "colour": "BGR", "height": 96, "width": 96}
_CAMERA = {
    "name": "input",
    "picture": {**_PICTURE, "resize": "letterbox", "fill": 114, "crop_share": 1.0},
    "sound": None,
    "text": None,
    "in_graph": {"scale": 1.0, "mean": [0.0], "std": [1.0], "model_layout": "NCHW", "model_colour": "grey"},
}


def make_detector_board(tmp_path, keys, bytecode, *, text=_MODEL, dtype="float32", shape=(1, 96, 96), **changes):
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model)
    specs = {"boxes": [None, 2, 4], "scores": [None, 2, 3]}
    bundle = make_payload_bundle(
        "float32",
        content=model.SerializeToString(),
        inputs=[{"name": "input", "dtype": dtype, "shape": [None, *shape]}],
        outputs=[{"name": name, "dtype": "float32", "shape": shape} for name, shape in specs.items()],
        golden=make_golden(specs),
        decoder={"name": "boxes", "options": {}},
        **changes,
    )
    return make_board(tmp_path / "detector", keys, bytecode, bundle)


def test_boxes_are_drawn_where_they_are_in_the_picture(run_example, tmp_path, keys, bytecode):
    board = make_detector_board(tmp_path, keys, bytecode)
    Image.new("RGB", (192, 96), "black").save(tmp_path / "street.png")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    options = ("--out", tmp_path / "out", "--mean", "0.34", "--std", "0.18", "--classes", tmp_path / "classes.txt")
    done = run_example("pictures/find.py", board.root, tmp_path / "street.png", *options)
    assert (done.returncode, done.stdout) == (0, "street.png: 1 found\n"), done.stderr
    drawn = np.asarray(Image.open(tmp_path / "out/street.png"))
    # 192 pixels wide, 96 in the input: everything is twice as large in the picture.
    ys, xs = np.nonzero(drawn.any(axis=2))
    assert (xs.min(), ys.min(), xs.max()) == (24, 48, 120)


def test_a_bundle_that_says_what_the_camera_gives_needs_no_numbers_and_no_names(run_example, tmp_path, keys, bytecode):
    camera = {"text": _CAMERA_MODEL, "dtype": "uint8", "shape": (96, 96, 3), "input": _CAMERA}
    board = make_detector_board(tmp_path, keys, bytecode, **camera, output={"classes": ["cat", "dog", "cow"]})
    Image.new("RGB", (192, 96), "black").save(tmp_path / "street.png")
    done = run_example("pictures/find.py", board.root, tmp_path / "street.png", "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (0, "street.png: 1 found\n"), done.stderr
    ys, xs = np.nonzero(np.asarray(Image.open(tmp_path / "out/street.png")).any(axis=2))
    # The picture lies 24 pixels down in the input, and the box reaches beyond it.
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (24, 0, 120, 95)
    with open_current(board.root, check_interval_s=None) as model:
        found = model.see(np.zeros((96, 192, 3), np.uint8))
        assert found["boxes"][0].tolist() == [24.0, 0.0, 120.0, 96.0]
        assert (model.classes[found["classes"][0]], model.sensor.picture.colour) == ("dog", "BGR")
        for odd in (np.zeros((96, 192, 1), np.uint8), np.zeros((96, 192, 3)), None):
            with pytest.raises(FrameError):
                model.see(odd)


def test_a_bundle_that_does_not_say_it_is_shown_no_picture(tmp_path, keys, bytecode):
    board = make_detector_board(tmp_path, keys, bytecode)
    with open_current(board.root, check_interval_s=None) as model:
        assert (model.sensor, model.classes) == (None, ())
        with pytest.raises(FrameError) as caught:
            model.see(np.zeros((96, 96, 1), np.uint8))
        assert "[input]" in caught.value.found


def test_a_board_without_a_release_is_told_with_its_exit_code(run_example, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    options = ("--out", tmp_path / "out", "--mean", "0", "--std", "1")
    done = run_example("pictures/find.py", tmp_path / "nowhere", tmp_path / "a.png", *options)
    assert (done.returncode, "no release is active" in done.stderr) == (ExitCode.USAGE, True)
