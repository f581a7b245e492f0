"""A vision transformer of one block, as text, whose LayerNormalizations are written out as older exporters write them."""

import numpy as np
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model

_HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def _normalize(name, source):
    return f"""
    [{name}_mean] {name}m = ReduceMean<keepdims = 1>({source}, last)
    [{name}_sub] {name}d = Sub({source}, {name}m)
    [{name}_square] {name}s = Pow({name}d, two)
    [{name}_variance] {name}v = ReduceMean<keepdims = 1>({name}s, last)
    [{name}_epsilon] {name}e = Add({name}v, epsilon)
    [{name}_sqrt] {name}r = Sqrt({name}e)
    [{name}_divide] {name}n = Div({name}d, {name}r)
    [{name}_scale] {name}g = Mul({name}n, {name}_gamma)
    [{name}_shift] {name} = Add({name}g, {name}_beta)"""


def make_transformer(*, outlier=0.0, epsilon=1e-5, gammas=()):
    """Return the model. outlier: added to one channel of every token; gammas: of as many channels, others are near 1."""
    model = parse_model(f"""{_HEAD} vit (float[n, 3, 16, 16] image) => (float[n, 10] logits)
    <float[32, 3, 4, 4] patch_w, float[16, 32] position, float[32] a_gamma, float[32] a_beta, float[32] b_gamma,
     float[32] b_beta, float[32] c_gamma, float[32] c_beta, float[32, 32] q_w, float[32, 32] k_w, float[32, 32] v_w,
     float[32] v_b, float[32, 32] out_w, float[32] out_b, float[32, 64] up_w, float[64] up_b, float[64, 32] down_w,
     float[32] down_b, float[32, 10] head_w, float[10] head_b, float two = {{2.0}}, float half = {{0.5}}, float one = {{1.0}},
     float root = {{1.4142135}}, float width = {{0.1767767}}, float epsilon = {{{epsilon}}}, int64[1] last = {{-1}},
     int64[1] tokens = {{1}}, int64[3] flat = {{0, 32, 16}}>
    {{
    [patch] p = Conv<strides = [4, 4]>(image, patch_w) [flatten] f = Reshape(p, flat)
    [turn] t = Transpose<perm = [0, 2, 1]>(f) [place] x = Add(t, position) {_normalize("a", "x")}
    [query] q = MatMul(a, q_w) [key] k = MatMul(a, k_w) [value] vm = MatMul(a, v_w) [value_bias] v = Add(vm, v_b)
    [key_turn] kt = Transpose<perm = [0, 2, 1]>(k) [match] qk = MatMul(q, kt) [match_scale] qs = Mul(qk, width)
    [weigh] w = Softmax<axis = -1>(qs) [attend] o = MatMul(w, v) [out] om = MatMul(o, out_w) [out_bias] ob = Add(om, out_b)
    [residual1] y = Add(x, ob) {_normalize("b", "y")}
    [up] um = MatMul(b, up_w) [up_bias] u = Add(um, up_b) [gelu_divide] gd = Div(u, root) [gelu_erf] ge = Erf(gd)
    [gelu_add] ga = Add(ge, one) [gelu_mul] gm = Mul(u, ga) [gelu_half] g = Mul(gm, half)
    [down] dm = MatMul(g, down_w) [down_bias] db = Add(dm, down_b)
    [residual2] z = Add(y, db) {_normalize("c", "z")}
    [pool] h = ReduceMean<keepdims = 0>(c, tokens) [head] hm = MatMul(h, head_w) [head_bias] logits = Add(hm, head_b)
    }}""")
    rng = np.random.default_rng(11)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name.endswith("_gamma"):
            values = rng.uniform(0.8, 1.2, 32).astype(np.float32)
            values[: len(gammas)] = gammas if tensor.name != "c_gamma" else values[: len(gammas)]
        elif tensor.name == "position":
            values /= 20
            values[:, 5] += outlier
        elif tensor.name in {"q_w", "k_w", "v_w", "up_w"}:
            # What a trained net does about large channels: its weights for them are small.
            values[: len(gammas)] /= np.asarray(gammas, np.float32)[:, None] if len(gammas) else 1
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    _balance(model)
    return model


def _balance(model):
    """Let the answers differ from picture to picture, as a trained net's do."""
    pictures = np.concatenate([feed["image"] for feed in make_pictures(64, seed=99)])
    logits = run_model(model, {"image": pictures})["logits"]
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head_b")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - logits.mean(axis=0), "head_b"))


def make_pictures(samples, *, seed=3):
    """Return as many feeds of one picture each."""
    rng = np.random.default_rng(seed)
    return [{"image": rng.normal(size=(1, 3, 16, 16)).astype(np.float32)} for _ in range(samples)]
