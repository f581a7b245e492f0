"""Members by name: the modules of a package in this folder, and on a host the files that stand for one.

In a bundle a member from outside lies among the others, because the bundle's writer put it there, and nothing is to be
registered. On a host `--member runtimes:NAME=PATH` says where its file is. Either way it is imported as a module of that
package, so that its relative imports are the same in both.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Dict, List, Optional

from ..errors import ExitCode, ToolchainError

# The packages here that others may add to.
KINDS = ("metrics", "decoders", "runtimes")
_ARGUMENT = re.compile(r"(?P<kind>[a-z]+):(?P<name>[A-Za-z][A-Za-z0-9_]*)=(?P<path>.+)")

# By the full name of the module; one for the process, as sys.modules is, which takes them over.
_files: Dict[str, Path] = {}


def register_member(package: ModuleType, name: str, path: Path) -> None:
    """Let a file be a member of a package; raises ToolchainError (exit 2) for a name that is taken or no file."""
    full = f"{package.__name__}.{name}"
    taken = None
    if name in (module.name for module in pkgutil.iter_modules(package.__path__)):
        taken = f"{full}, a part of the toolchain"
    elif _files.get(full, path) != path:
        taken = str(_files[full])
    if taken is not None:
        what = f"two members of {package.__name__.rpartition('.')[2]} are called {name}"
        expected = f"another name than that of {taken}"
        raise ToolchainError(ExitCode.USAGE, what, where=str(path), expected=expected, found=name, fix=f"rename {path}")
    if not path.is_file():
        raise ToolchainError(ExitCode.USAGE, f"there is no file {path}", where="--member", fix="correct the path")
    _files[full] = path


def register_argument(text: str) -> None:
    """Register the member of one `--member KIND:NAME=PATH`; raises ToolchainError (exit 2) as register_member does."""
    match = _ARGUMENT.fullmatch(text)
    if match is None or match["kind"] not in KINDS:
        expected = f"KIND:NAME=PATH, KIND one of {', '.join(KINDS)}"
        raise ToolchainError(
            ExitCode.USAGE,
            "this names no member",
            where="--member",
            expected=expected,
            found=text,
            fix=f"write it as in --member {KINDS[0]}:NAME=FILE.py",
        )
    package = importlib.import_module(f".{match['kind']}", __package__)
    register_member(package, match["name"], Path(match["path"]).absolute())


def list_members(package: ModuleType) -> List[str]:
    """Return the names of a package's members, sorted."""
    prefix = f"{package.__name__}."
    registered = {full[len(prefix) :] for full in _files if full.startswith(prefix)}
    return sorted(registered.union(module.name for module in pkgutil.iter_modules(package.__path__)))


def list_outside() -> Dict[str, Path]:
    """Return the files that were registered, by the full name of the module that each stands for."""
    return dict(_files)


def find_outside(package_name: str, name: str) -> Optional[Path]:
    """Return the file that was registered for a member; None for the modules of the package."""
    return _files.get(f"{package_name}.{name}")


def import_member(package: ModuleType, name: str) -> ModuleType:
    """Return the module of a member that list_members lists; raises what its import raises."""
    full = f"{package.__name__}.{name}"
    if full not in _files or full in sys.modules:
        return importlib.import_module(full)
    spec = importlib.util.spec_from_file_location(full, str(_files[full]))
    if spec is None:
        raise ImportError(f"{_files[full]} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full] = module
    try:
        # From its source: bytecode of a moment ago may be of another version of the file.
        exec(compile(_files[full].read_bytes(), str(_files[full]), "exec"), module.__dict__)  # noqa: S102
    except BaseException:
        del sys.modules[full]
        raise
    return module
