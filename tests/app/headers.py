"""ONNX Runtime's headers, without which nothing of C++ is built here."""

import os

import pytest

HEADERS = os.environ.get("EDGE_APP_HEADERS")
needs_headers = pytest.mark.skipif(HEADERS is None, reason="make app-test gets ONNX Runtime's headers, and runs this")
