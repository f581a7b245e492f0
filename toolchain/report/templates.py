"""The templates of pages: what a page shows of others' texts is escaped here, for HTML and for the eye."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from toolchain.agent.printable import escape_line, escape_lines


def open_templates(*folders: Path) -> Environment:
    """Return the templates in these folders and in this one."""
    return Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        finalize=_show,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _show(value: Any) -> Any:
    """Return what stands on a page for the value of an expression; HTML's own escaping follows."""
    if isinstance(value, Markup):  # a drawing: the texts of others in it are XML already, and its lines are long
        return Markup(escape_lines(value, length_max=None))  # noqa: S704 - nothing becomes markup that was none
    return escape_line(value) if isinstance(value, str) else value
