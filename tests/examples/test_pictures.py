import numpy as np
import onnx
import onnx.parser
from PIL import Image

from tests.agent.application.boards import make_board, make_golden, make_payload_bundle
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


def make_detector_board(tmp_path, keys, bytecode):
    model = onnx.parser.parse_model(_MODEL)
    onnx.checker.check_model(model)
    specs = {"boxes": [None, 2, 4], "scores": [None, 2, 3]}
    bundle = make_payload_bundle(
        "float32",
        content=model.SerializeToString(),
        inputs=[{"name": "input", "dtype": "float32", "shape": [None, 1, 96, 96]}],
        outputs=[{"name": name, "dtype": "float32", "shape": shape} for name, shape in specs.items()],
        golden=make_golden(specs),
        decoder={"name": "boxes", "options": {}},
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


def test_a_board_without_a_release_is_told_with_its_exit_code(run_example, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    options = ("--out", tmp_path / "out", "--mean", "0", "--std", "1")
    done = run_example("pictures/find.py", tmp_path / "nowhere", tmp_path / "a.png", *options)
    assert (done.returncode, "no release is active" in done.stderr) == (ExitCode.USAGE, True)
