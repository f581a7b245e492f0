import os
import subprocess
import sys

import pytest

from benchmarks.soak.process_memory import run_watched

MB = 2**20
# A parent that holds 100 MB while its child, in a session of its own, holds 200.
HOLDS = """
import subprocess, sys, time
held = b"a" * (100 << 20)
child = "held = b'a' * (200 << 20); import time; time.sleep(1); print('child')"
subprocess.run([sys.executable, "-c", child], start_new_session=True, check=True)
sys.exit(len(sys.argv))
"""


def run(code, folder, **options):
    return run_watched([sys.executable, "-c", code, "x"], folder=folder, environment=dict(os.environ), **options)


def test_the_peak_is_of_all_processes_together(tmp_path):
    ended = run(HOLDS, tmp_path)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (2, "child\n", "")
    assert 300 * MB < ended.peak_bytes < 400 * MB
    assert ended.peak_at_s <= ended.wall_s


def test_a_command_that_holds_nothing_has_a_low_peak(tmp_path):
    assert 0 < run("import time; time.sleep(0.5)", tmp_path).peak_bytes < 100 * MB


def test_a_command_that_hangs_is_ended(tmp_path):
    with pytest.raises(subprocess.TimeoutExpired):
        run("import time; time.sleep(600)", tmp_path, timeout_s=1)
