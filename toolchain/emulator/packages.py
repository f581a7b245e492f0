"""The board's software: Debian packages and Python wheels for arm64, fetched by this machine's own apt and pip."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from toolchain.emulator.errors import run_tool

# sshd, Python, a shell and its commands; what runtimes link to. apt adds what they need.
_PACKAGES = ("openssh-server", "python3", "dash", "coreutils", "libstdc++6", "libgomp1")
# What applications in C++ are built with, for this machine's cross compiler (app/cpp/aarch64.cmake).
_PACKAGES_OF_APPLICATIONS = ("libssl-dev", "nlohmann-json3-dev")
# The newest that runs under Debian 12's QEMU (7.2), where the newest of all does not: ONNX Runtime 1.28 and newer crash.
_NEWEST = {"onnxruntime": "1.26.0"}
_NUMPY = "numpy>=2,<2.5"
# Debian 12 has glibc 2.36.
_PLATFORMS = (
    *("manylinux_2_35_aarch64", "manylinux_2_31_aarch64", "manylinux_2_28_aarch64", "manylinux_2_27_aarch64"),
    "manylinux2014_aarch64",
)
_PYTHON = "3.11"  # of Debian 12

# A package database of its own: the machine's apt keeps its architecture and its state.
_APT = """
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::State "{work}/state";
Dir::State::status "{work}/state/status";
Dir::Cache "{work}/cache";
"""


def unpack_packages(root: Path, work: Path) -> None:
    """Put the packages' files below root; nothing of them is executed."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True, exist_ok=True)
    (work / "state/status").touch()
    config = work / "apt.conf"
    config.write_text(_APT.format(work=work), encoding="utf-8")
    environment = {**os.environ, "APT_CONFIG": str(config)}
    online = "connect this machine to the network (behind a proxy: set https_proxy), and start again"
    run_tool(["apt-get", "update"], what="reading the list of arm64 packages", fix=online, environment=environment)
    command = ["apt-get", "install", "--yes", "--download-only", *_PACKAGES, *_PACKAGES_OF_APPLICATIONS]
    run_tool(command, what="fetching the arm64 packages", fix=online, environment=environment)
    for package in sorted((work / "cache/archives").glob("*.deb")):
        run_tool(
            ["dpkg-deb", "--extract", str(package), str(root)],
            what=f"unpacking {package.name}",
            fix=f"make room on the disk, or remove {package} and start again",
        )


def install_wheels(root: Path, runtime: str) -> None:
    """Put a runtime and numpy for aarch64 where the board's Python finds them."""
    wheel = f"{runtime}=={_NEWEST[runtime]}" if runtime in _NEWEST else runtime
    platforms = [argument for name in _PLATFORMS for argument in ("--platform", name)]
    target = root / "usr/lib/python3/dist-packages"
    run_tool(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), "--only-binary=:all:"),
            *("--python-version", _PYTHON, "--implementation", "cp", *platforms, wheel, _NUMPY),
        ],
        what="fetching the aarch64 wheels",
        fix="connect this machine to PyPI (a mirror: set PIP_INDEX_URL), and start again",
    )
