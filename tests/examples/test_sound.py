import wave

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.agent.application.boards import make_board, make_golden, make_payload_bundle

# Class 0 is silence, class 1 is loud: the energy of a second.
_MODEL = """<ir_version: 9, opset_import: ["" : 17]> net (float[N,16000] input) => (float[N,2] scores)
<float[1,2] weights = {0, 1}, float[2] bias = {0.01, 0}>
{
    squares = Mul (input, input)
    energy = ReduceMean <axes = [1], keepdims = 1> (squares)
    products = MatMul (energy, weights)
    scores = Add (products, bias)
}"""


@pytest.fixture
def listening(tmp_path, keys, bytecode):
    model = onnx.parser.parse_model(_MODEL)
    onnx.checker.check_model(model)
    bundle = make_payload_bundle(
        "float32",
        content=model.SerializeToString(),
        inputs=[{"name": "input", "dtype": "float32", "shape": [None, 16000]}],
        outputs=[{"name": "scores", "dtype": "float32", "shape": [None, 2]}],
        golden=make_golden(["scores"]),
    )
    return make_board(tmp_path / "sound", keys, bytecode, bundle)


def write_wav(path, samples, rate_hz=16_000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())


def test_each_stretch_of_a_file_is_heard(run_example, listening, tmp_path):
    tone = np.round(20000 * np.sin(np.arange(16000) * 0.3))
    write_wav(tmp_path / "a.wav", np.concatenate([np.zeros(16000), tone]))
    (tmp_path / "classes.txt").write_text("quiet\nloud\n")
    done = run_example("sound/listen.py", listening.root, tmp_path / "a.wav", "--classes", tmp_path / "classes.txt")
    assert done.returncode == 0, done.stderr
    heard = [line.split()[::2] for line in done.stdout.splitlines()]
    assert heard == [["0.00", "quiet"], ["0.50", "loud"], ["1.00", "loud"]]


def test_a_file_of_another_rate_is_told_so(run_example, listening, tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(100), rate_hz=44_100)
    done = run_example("sound/listen.py", listening.root, tmp_path / "a.wav")
    assert (done.returncode, "found 16 bits at 44100 Hz" in done.stderr) == (1, True)
