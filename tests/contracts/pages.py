"""The pages of docs/extending/, and the code in them."""

import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path for path in sorted((ROOT / "docs" / "extending").glob("*.md"))}
_BLOCK = re.compile(r"^```(python|diff)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"^# ([\w/]+\.py)\n", re.MULTILINE)


def read_blocks(text, language):
    """Return the parts of a page's blocks of code by the path in the comment above each."""
    parts = {}
    for found, code in _BLOCK.findall(text):
        if found == language:
            _, *pieces = _FILE.split(code)
            parts.update(zip(pieces[::2], pieces[1::2], strict=True))
    return parts


def run_example(page, path, name):
    """Return the module of an example that belongs into the toolchain, under a name there and without a file."""
    module = ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    exec(compile(read_blocks(PAGES[page].read_text(), "python")[path], path, "exec"), module.__dict__)
    return module
