"""ONNX files: read, viewed, checked, named, compared."""
