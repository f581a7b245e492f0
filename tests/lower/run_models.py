"""Runs ONNX files on the kernels that ONNX Runtime chooses: `python run_models.py FOLDER`, each *.onnx with its *.npy.

A program of its own, because the CPU that a test asks about may be an emulated one. The result of NAME.onnx, which reads
`x` from NAME.npy, is written to NAME.out.npy.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    np.save(path.with_suffix(".out.npy"), session.run(None, {"x": np.load(path.with_suffix(".npy"))})[0])
