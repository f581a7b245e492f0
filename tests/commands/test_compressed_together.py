"""Several processes of torchrun compress one model, by the real command."""

import subprocess
import sys

ENTRY = """method = "magnitude_pruning"
amount = 0.5
finetune = { epochs = 2, batch_size = 16, learning_rate = 0.01 }"""


def launch(project, out):
    """Run `torchrun -m toolchain compress` to its end; two processes that wait for each other end by the time limit."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "toolchain"]
    return subprocess.run(
        [sys.executable, "-m", *launcher, "compress", "tiny-pruned", "-o", str(out), "--quiet"],
        cwd=project.folder,
        env=project.environment | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_two_processes_compress_one_model_and_a_second_run_is_cached(cached_project):
    project = cached_project  # nothing of other tests is in its cache
    project.add_learner("pruned", ENTRY)
    first, second = project.folder / "first.safetensors", project.folder / "second.safetensors"
    done = launch(project, first)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{first}\n"  # one process speaks
    assert not list(project.cache.glob("work/*"))
    done = launch(project, second)
    assert done.returncode == 0, done.stderr
    assert second.read_bytes() == first.read_bytes()


def test_what_stops_one_process_stops_both(project):
    project.add_learner("pruned", ENTRY.replace("0.01 }", "1e30 }"))
    done = launch(project, project.folder / "never.safetensors")
    assert done.returncode != 0
    assert "diverged" in done.stderr
    assert not (project.folder / "never.safetensors").exists()
