"""Quantizes an ONNX file by NNCF for OpenVINO; run by the Python of an environment that has both, and nothing of ours.

    PYTHON nncf_worker.py MODEL.onnx CALIBRATION.npz OUT.xml

CALIBRATION.npz holds the feeds of run i as "i/NAME".
"""

import sys
from collections import defaultdict

import nncf
import numpy as np
import openvino


def main() -> None:
    """Write the IR."""
    source, calibration, target = sys.argv[1:]
    feeds = defaultdict(dict)
    with np.load(calibration) as arrays:
        for key in arrays.files:
            index, name = key.split("/", 1)
            feeds[int(index)][name] = arrays[key]
    model = openvino.Core().read_model(source)
    is_transformer = any(node.get_type_name() in ("Softmax", "ScaledDotProductAttention") for node in model.get_ops())
    quantized = nncf.quantize(
        model,
        nncf.Dataset([feeds[index] for index in sorted(feeds)]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(feeds),
        fast_bias_correction=False,  # the slower one is the better one
        model_type=nncf.ModelType.TRANSFORMER if is_transformer else None,
    )
    openvino.save_model(quantized, target, compress_to_fp16=False)


if __name__ == "__main__":
    main()
