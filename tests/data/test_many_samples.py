"""50,000 samples are read in the memory that a few take."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


# What the others do is the same: yolo_labels, mask_pictures, image_folder and wav_folder keep paths too, csv_text columns.
# `python -m tests.data.stream_many NAME FOLDER` measures each.
@pytest.mark.parametrize(("name", "read_mb"), [("coco", 2000), ("csv_table", 15)])
def test_50_000_samples_stream_in_less_than_a_gigabyte(tmp_path, name, read_mb):
    # Its time and memory would be those of the coverage that counts millions of lines.
    uncounted = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.stream_many", name, str(tmp_path)],
        cwd=ROOT, env=uncounted, capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    measured = json.loads(done.stdout)
    assert measured["samples"] == 50_000
    assert measured["read_mb"] > read_mb
    assert measured["peak_mb"] < 1000
