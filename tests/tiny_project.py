"""A tiny project, and the real command run in it in a process of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from toolchain.agent.contents import check_contents
from toolchain.agent.manifest import read_manifest

_HERE = Path(__file__).parent
_REPOSITORY = _HERE.parent

SAMPLES = 64
_CLASSES = 4
_TIMEOUT_S = 300  # ends a test that hangs; nothing is measured by it

# What may lie in OUT after any end; everything else is something half-written.
_OUT_NAMES = {".lock", "bundle", "junit.xml", "summary.md", "log.jsonl", "report.html", "report.json", "statement.json"}
# Of a run that signs.
_SIGNATURE = "statement.json.sig"


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Project:
    """A folder with models/, targets/ and data/, and the cache that its commands use."""

    folder: Path
    cache: Path
    python_path: tuple[Path, ...] = ()
    """Folders in which packages of others are installed."""

    @property
    def weights(self):
        return self.folder / "models" / "tiny" / "weights.safetensors"

    @property
    def out(self):
        return self.folder / "dist" / "tiny" / "board"

    @property
    def environment(self):
        path = os.pathsep.join(map(str, (_REPOSITORY, *self.python_path)))
        own = {"PYTHONPATH": path, "TOOLCHAIN_CACHE": str(self.cache), "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own}

    def start(self, *arguments, **options):
        """Start the command in the project, as `toolchain ARGUMENTS` would."""
        return subprocess.Popen(
            [sys.executable, "-m", "toolchain", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def start_anew(self, *arguments):
        """Start a deploy without the event log of the one before, so that wait_for sees this one's."""
        (self.out / "log.jsonl").unlink(missing_ok=True)
        return self.start(*arguments)

    def wait_for(self, process, stage, event):
        """Wait until the running command logs an event; return whether it did before it ended."""
        return self.wait_for_in(self.out, process, stage, event)

    def wait_for_in(self, out, process, stage, event):
        """Do so with the log of another folder."""
        while True:
            ended = process.poll() is not None
            if any((line["stage"], line["event"]) == (stage, event) for line in self.read_log(out)):
                return True
            if ended:
                return False
            time.sleep(0.002)

    def run(self, *arguments, **options):
        """Run the command to its end."""
        return finish(self.start(*arguments, **options))

    def deploy(self, *arguments, target="board"):
        return self.run("deploy", "tiny", "--target", target, *arguments)

    def edit(self, path, old, new):
        """Replace a text that stands in a file of the project exactly once."""
        text = (self.folder / path).read_text()
        assert text.count(old) == 1
        (self.folder / path).write_text(text.replace(old, new))

    def edit_recipe(self, old, new):
        self.edit("models/tiny/recipe.toml", old, new)

    def add_learner(self, name, entry):
        """Add a recipe tiny-NAME that compresses by this entry, and learns from pictures that it is not evaluated on."""
        images, labels = draw_patterns(SAMPLES, seed=1)
        np.savez(self.folder / "data" / "learn.npz", input=images, labels=labels)
        text = (self.folder / "models" / "tiny" / "recipe.toml").read_text()
        text = text.replace(
            'path = "../../data/tiny.npz"', 'path = "../../data/learn.npz", evaluation = "../../data/tiny.npz"'
        )
        (self.folder / "models" / "tiny" / f"{name}.toml").write_text(f"{text}\n[[compress]]\n{entry}\n")

    def add_target(self, name, *lines):
        (self.folder / "targets" / f"{name}.toml").write_text("\n".join(lines))

    def read_report(self, out=None):
        return json.loads(((out or self.out) / "report.json").read_text())

    def read_log(self, out=None):
        path = (out or self.out) / "log.jsonl"
        text = path.read_text() if path.exists() else ""
        # The last line may be half-written while the command runs.
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def list_partials(self):
        return list(self.cache.glob("*/partial-*"))

    def with_cache(self, cache):
        return replace(self, cache=cache)

    def assert_passed(self, result, out=None):
        """The command proved what it deployed, and left all of it."""
        assert (result.code, result.stderr) == (0, result.stderr)
        assert "Traceback" not in result.stderr
        report = self.read_report(out)
        assert (report["verdict"], report["exit_code"], report["error"]) == ("pass", 0, None)
        assert {path.name for path in (out or self.out).iterdir()} - {_SIGNATURE} == _OUT_NAMES
        self.assert_nothing_half_written(out)

    def assert_stopped(self, result, code, kind, out=None):
        """An error stopped the command: it says what is wrong and what to do, and left nothing half-written."""
        assert (result.code, result.stderr) == (code, result.stderr)
        self.assert_message(result.stderr, kind)
        self.assert_nothing_half_written(out)
        if ((out or self.out) / "report.json").exists():
            report = self.read_report(out)
            assert (report["verdict"], report["exit_code"], report["error"]["code"]) == (
                "invalid" if code == 20 else "fail",
                code,
                code,
            )
            assert f"{kind}: {report['error']['what']}\n" in result.stderr

    def assert_message(self, stderr, kind):
        """The message is that of design.md 7.4: the kind and what, where with expected and found, the fix."""
        assert "Traceback" not in stderr
        assert re.search(rf"^{kind}: \S.*\n(  \S.*\n)*  fix: \S.*\n\Z", stderr, re.MULTILINE), stderr

    def assert_refused(self, result, code, verdict, out=None):
        """The agent's verdict is no: the reports say why, with the same exit code."""
        assert (result.code, result.stderr) == (code, result.stderr)
        assert "Traceback" not in result.stderr
        report = self.read_report(out)
        assert (report["verdict"], report["exit_code"], report["error"]) == (verdict, code, None)
        assert report["reasons"]
        assert {path.name for path in (out or self.out).iterdir()} - {_SIGNATURE} == _OUT_NAMES
        self.assert_nothing_half_written(out)
        return report

    def assert_nothing_half_written(self, out=None):
        out = out or self.out
        assert self.list_partials() == []
        if out.is_dir():
            assert {path.name for path in out.iterdir()} <= {*_OUT_NAMES, _SIGNATURE}
        if (out / "bundle").exists():
            manifest, _ = read_manifest(out / "bundle")
            check_contents(out / "bundle", manifest)


def finish(process):
    stdout, stderr = process.communicate(timeout=_TIMEOUT_S)
    return Result(process.returncode, stdout, stderr)


def draw_patterns(count, seed):
    """Return noisy pictures (count, 3, 8, 8) of stripes, columns, boards and planes, and their classes."""
    generator = np.random.default_rng(seed)
    rows, columns = np.indices((8, 8)) % 2
    patterns = np.stack([rows, columns, rows ^ columns, np.full((8, 8), 0.5)]) * 2.0 - 1.0
    labels = np.arange(count) % _CLASSES
    noise = generator.normal(scale=0.8, size=(count, 3, 8, 8))
    return (patterns[labels][:, None] + noise).astype(np.float32), labels


def train_tiny(recipe_path):
    """Train the tiny net on patterns of another seed than those that it is evaluated on."""
    import torch

    from toolchain.module.builder import build_model
    from toolchain.module.weights import save_weights
    from toolchain.project.recipe import read_recipe

    torch.manual_seed(0)
    model = build_model(read_recipe(recipe_path))
    images, labels = (torch.from_numpy(array) for array in draw_patterns(256, seed=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    save_weights(model, recipe_path.with_name("weights.safetensors"), {"seed": 0})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return a project that nothing was run in yet; tests copy it."""
    folder = tmp_path_factory.mktemp("tiny") / "project"
    shutil.copytree(_HERE / "tiny", folder)
    (folder / "data").mkdir()
    images, labels = draw_patterns(SAMPLES, seed=2)
    np.savez(folder / "data" / "tiny.npz", input=images, labels=labels)
    train_tiny(folder / "models" / "tiny" / "recipe.toml")
    return folder


@pytest.fixture(scope="session")
def deployed(tiny, tmp_path_factory):
    """Return a project after its first deploy, and the cache of that deploy alone; tests look and do not touch."""
    folder = tmp_path_factory.mktemp("deployed") / "project"
    shutil.copytree(tiny, folder)
    project = Project(folder=folder, cache=folder.parent / "cache")
    project.assert_passed(project.deploy())
    return project


@pytest.fixture(scope="session")
def shared_cache(deployed):
    """Return a cache that tests share, so that no two build the same; it began with everything of the first deploy."""
    folder = deployed.cache.with_name("shared")
    shutil.copytree(deployed.cache, folder)
    return folder


@pytest.fixture
def project(tiny, shared_cache, tmp_path):
    """Return a fresh copy of the project."""
    shutil.copytree(tiny, tmp_path / "project")
    return Project(folder=tmp_path / "project", cache=shared_cache)


@pytest.fixture
def deployed_copy(deployed, shared_cache, tmp_path):
    """Return a copy of the project with what its first deploy left, to be damaged."""
    shutil.copytree(deployed.folder, tmp_path / "project")
    return Project(folder=tmp_path / "project", cache=shared_cache)


@pytest.fixture
def cached_project(deployed, tiny, tmp_path):
    """Return a fresh copy of the project with a cache of its own, in which the first deploy is and nothing else."""
    shutil.copytree(tiny, tmp_path / "project")
    shutil.copytree(deployed.cache, tmp_path / "cache")
    return Project(folder=tmp_path / "project", cache=tmp_path / "cache")
