"""What onnxscript's rewrite rules make of the graphs that two of our passes are for.

    python -m benchmarks.rewrite_rules

For each form one JSON line: the operators that are left after our pass, after onnxscript's own rules for it, and after the
rules that its `rewrite` applies by default. Nothing is timed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import onnx
import onnxscript
from onnx import numpy_helper, parser
from onnxscript.rewriter import pattern, rewrite
from onnxscript.rewriter.rules.common import conv_affine_fusion_rule, fuse_hardswish_rules

from toolchain.optimize import Pass, fold_scalar_into_conv, hard_swish

_HARD_SWISH = (
    "g (float[N, 4] x) => (float[N, 4] y)"
    " <float three = {3.0}, float zero = {0.0}, float six = {6.0}, float sixth = {0.16666667}> { BODY }"
)
_CONV = "g (float[N, 2, 6, 6] x) => (float[N, 4, 4, 4] y) <float s = {1.7}, float t = {-0.3}> { BODY }"
_INNER = "a = Add (x, three) c = Clip (a, zero, six) m = Mul (x, c)"

_FORMS: tuple[tuple[str, Pass, str], ...] = (
    ("x · clip(x + 3) / 6", hard_swish, f"{_INNER} y = Div (m, six)"),
    ("x · clip(x + 3) · 1/6", hard_swish, f"{_INNER} y = Mul (m, sixth)"),
    ("conv · s + t", fold_scalar_into_conv, "k = Conv (x, w, b) m = Mul (k, s) y = Add (m, t)"),
    ("t + s · conv", fold_scalar_into_conv, "k = Conv (x, w, b) m = Mul (s, k) y = Add (t, m)"),
    ("conv without bias · s + t", fold_scalar_into_conv, "k = Conv (x, w) m = Mul (k, s) y = Add (m, t)"),
    ("(conv + t) · s", fold_scalar_into_conv, "k = Conv (x, w, b) a = Add (k, t) y = Mul (a, s)"),
    ("conv · s", fold_scalar_into_conv, "k = Conv (x, w, b) y = Mul (k, s)"),
)


def _parse(step: Pass, body: str) -> onnx.ModelProto:
    graph = (_HARD_SWISH if step is hard_swish else _CONV).replace("BODY", body)
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {graph}')
    if step is fold_scalar_into_conv:
        rng = np.random.default_rng(0)
        for name, shape in (("w", (4, 2, 3, 3)), ("b", (4,))):
            model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    return model


def _list_operators(model: onnx.ModelProto) -> Sequence[str]:
    return [node.op_type for node in model.graph.node]


def main() -> None:
    """Print a line for each form."""
    # The best case of its rules: alone, and with operands in either order, as its hard-swish has them.
    rules = {
        hard_swish: fuse_hardswish_rules(),
        fold_scalar_into_conv: pattern.RewriteRuleSet([conv_affine_fusion_rule], commute=True),
    }
    for form, step, body in _FORMS:
        model = _parse(step, body)
        line = {
            "form": form,
            "ours": _list_operators(step.apply(model).model),
            "rules": _list_operators(rewrite(model, pattern_rewrite_rules=rules[step])),
            "default": _list_operators(rewrite(model)),
            "onnxscript": onnxscript.__version__,
        }
        print(json.dumps(line, ensure_ascii=False))


if __name__ == "__main__":
    main()
