from onnx import TensorProto

from toolchain.graph.safety import check_file, check_model

SOUND = """g (float[N, 4] x) => (float[N, 4] y) { t = local.f (x) y = com.microsoft.Gelu (t) }
    <domain: "local", opset_import: ["" : 21]> f (a) => (b) { b = Relu (a) }"""


def test_a_sound_model_passes(parse):
    check_model(parse(SOUND), "model.onnx")


def test_what_the_checker_refuses_is_refused(parse, refuse):
    model = parse("g (float[N] x) => (float[N] y) { y = Relu <alpha = 1.0> (x) }")
    check_file(model, "model.onnx")
    assert "checker" in refuse(check_model, model)


def test_the_data_of_tensors_is_compared_once_all_of_it_is_inside(parse, refuse):
    model = parse("g (float[N] x) => (float[N] y) <float[4] w = {1, 2, 3, 4}> { y = Add (x, w) }")
    model.graph.initializer[0].CopyFrom(TensorProto(name="w", data_type=1, dims=[4]))
    check_file(model, "model.onnx")
    assert "no data" in refuse(check_model, model)
