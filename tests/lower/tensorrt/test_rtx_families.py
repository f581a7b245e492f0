"""The small members of torchvision's families; `python -m benchmarks.tensorrt_families` does all of them."""

import json

import onnx
import pytest

from benchmarks.families import FAMILIES, build_family, read_pictures
from toolchain.module.export import export_onnx
from toolchain.optimize import optimize

SMALL = ("mobilenet_v3_small", "squeezenet1_1")


@pytest.mark.parametrize(
    "family", [family for family in FAMILIES if family.name in SMALL], ids=lambda family: family.name
)
def test_nvidia_builds_the_float16_and_the_int8_graph(family, lower, tmp_path):
    feeds = [{"input": read_pictures(index, index + 1, size=family.size)} for index in range(2)]
    export_onnx(build_family(family), feeds[0], tmp_path / "exported.onnx")
    model = optimize(onnx.load(tmp_path / "exported.onnx"), feeds[:1]).model
    for precision in ("fp16", "int8"):
        folder = lower(model, feeds, "rtx", precision, sqnr_db_min={"fp16": 40.0, "int8": -200.0})
        document = json.loads((folder / "lowering.json").read_text(encoding="utf-8"))
        assert document["parsed_by_nvidia"]
        assert (folder / "model.engine").stat().st_size > 0
    assert sum(layer["op"] in ("Conv", "Gemm") for layer in document["layers"]) == sum(
        node.op_type in ("Conv", "Gemm") for node in model.graph.node
    )
