"""Runs NVIDIA's ModelOpt in an environment of its own: python modelopt_quantize.py FLOAT.onnx PICTURES.npy METHOD OUT.onnx.

Called by benchmarks/tensorrt_qdq.py; imports nothing of ours.
"""

import sys

import numpy as np
from modelopt.onnx.quantization import quantize

if __name__ == "__main__":
    source, pictures, method, out = sys.argv[1:]
    quantize(
        onnx_path=source,
        quantize_mode="int8",
        calibration_data={"input": np.load(pictures)},
        calibration_method=method,
        calibration_eps=["cpu"],
        high_precision_dtype="fp16",
        output_path=out,
    )
