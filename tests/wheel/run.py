"""Builds the wheel, installs it where the checkout cannot be seen, and runs a telling part of the tests against it."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_REPOSITORY = Path(__file__).parents[2]
# What of the checkout rides in the wheel, by where it is there.
_INSIDE = {"toolchain": "toolchain", "models": "toolchain/models", "targets": "toolchain/targets"}
# The command line, what reads the package's own data, and everything that copies files out of the package: the agent
# into bundles, templates and the schema into reports.
_TESTS = (
    *(
        "tests/wheel/installed.py",
        "tests/wheel/slim.py",
        "tests/bundle",
        "tests/cli",
        "tests/commands/test_one_stage.py",
        "tests/project/test_find.py",
    ),
    *(
        "tests/data/test_fashion_mnist_small.py",
        "tests/report",
        "tests/search/test_page.py",
        "tests/project/test_target.py",
    ),
)


def build_wheel(folder: Path) -> Path:
    """Return the wheel of the checkout."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", folder, "."], check=True, cwd=_REPOSITORY)
    (wheel,) = folder.glob("*.whl")
    return wheel


def list_committed() -> dict[str, str]:
    """Return the committed files of the package, each with where it is in the wheel."""
    listed = subprocess.run(["git", "ls-files", *_INSIDE], check=True, cwd=_REPOSITORY, capture_output=True, text=True)
    parts = {path: path.split("/", 1) for path in listed.stdout.splitlines()}
    return {path: f"{_INSIDE[wing]}/{rest}" for path, (wing, rest) in parts.items()}


def list_lost(wheel: Path) -> list[str]:
    """Return the committed files of the package that the wheel does not have."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    return [path for path, place in list_committed().items() if place not in inside]


def install(wheel: Path, folder: Path) -> Path:
    """Return the Python of a new environment that has the wheel, and all else from the environment of this process."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True)
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], check=True, stdout=subprocess.PIPE
    )
    # Plain paths: of what an editable installation put there, Python follows nothing from here.
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (Path(found.stdout.decode().strip()) / "others.pth").write_text("\n".join(others) + "\n")
    return python


def install_slim(wheel: Path, folder: Path) -> None:
    """Install the wheel as a user does, with what it requires and nothing else, in the versions of constraints.txt."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--constraint", _REPOSITORY / "constraints.txt", wheel], check=True)


def copy_tests(folder: Path) -> None:
    """Copy the tests and their settings, and nothing of what is under test."""
    shutil.copytree(_REPOSITORY / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_REPOSITORY / "pyproject.toml", folder)


def run() -> int:
    """Return the exit code of the tests; 1 where the wheel lacks files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build_wheel(folder)
        if lost := list_lost(wheel):
            print(f"the wheel lacks {len(lost)} files of the checkout: {', '.join(lost)}", file=sys.stderr)  # noqa: T201
            return 1
        python = install(wheel, folder / "environment")
        install_slim(wheel, folder / "slim")
        copy_tests(folder / "outside")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["EDGE_SLIM"] = str(folder / "slim")
        command = [python, "-m", "pytest", "-n", "2", "--dist", "worksteal", *sys.argv[1:], *_TESTS]
        return subprocess.run(command, check=False, cwd=folder / "outside", env=environment).returncode


if __name__ == "__main__":
    sys.exit(run())
