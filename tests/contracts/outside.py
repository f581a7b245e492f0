"""Members from outside: of an installed package, and of a project's plugins/."""

import shutil
from pathlib import Path

from toolchain.project.agent_members import use_member
from toolchain.project.members import list_members

PACKAGE = Path(__file__).parent / "outside_package"


def install_package(folder):
    """Put the package and what an installer notes of it into a folder, and return that."""
    shutil.copytree(PACKAGE / "acme_edge", folder / "acme_edge")
    notes = folder / "acme_edge-1.0.dist-info"
    notes.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        shutil.copy(PACKAGE / name, notes / name)
    return folder


def write_plugin(project, seam, name, text):
    """Write a member into a project, and return its file."""
    path = project / "plugins" / seam / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def use_members(seam):
    """Let the agent's code find the metrics or runtimes in plugins/ of the checkout, so that its suite takes them."""
    for name in list_members(seam):
        use_member(seam, name)
