"""A deploy of every method that quantizes weights: by the real command, on the tiny project."""

import json

import onnx
import pytest

_ENTRIES = {
    "linear_quantization": "bits = 4",
    "kmeans_quantization": "bits = 4",
    "mixed_precision": "size_ratio = 0.2\nsamples = 16",
}


@pytest.mark.parametrize("method", _ENTRIES)
def test_a_model_of_quantized_weights_is_proven_and_its_file_is_smaller(project, method):
    project.edit_recipe("[gates]", f'[[compress]]\nmethod = "{method}"\n{_ENTRIES[method]}\n\n[gates]')
    project.assert_passed(project.deploy("--precision", "float32"))
    payload = project.out / "bundle" / "payload"
    packed, reference = payload / "float32/model.onnx", payload / "reference/model.onnx"
    assert "BitShift" in {node.op_type for node in onnx.load(packed).graph.node}
    (lowering,) = [
        document["packed_weights"]
        for path in project.cache.rglob("lowering.json")
        if (document := json.loads(path.read_text()))["packed_weights"]
        and path.with_name("model.onnx").read_bytes() == packed.read_bytes()
    ]
    assert lowering
    saved = reference.stat().st_size - packed.stat().st_size
    assert saved > 0.5 * sum(weight["bytes_before"] for weight in lowering)
    assert all(weight["bytes_after"] < weight["bytes_before"] for weight in lowering)
    assert max(weight["bits"] for weight in lowering) <= 8
