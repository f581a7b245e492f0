"""The templates of pages: what a page shows of others' texts is escaped here, for HTML and for the eye."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from toolchain.agent.printable import escape_line, escape_lines


class Own(Markup):
    """A text of ours alone, such as a script, which is shown as it stands."""

    __slots__ = ()


def write_json_script(value: Any) -> Markup:
    """Return JSON that stands in a script element: its texts are escaped for the eye, and none of them can end the element.

    What HTML reads there is `</script` and `<!--` alone (HTML, section 4.12.1.3); no `<`, `>` or `&` is left.
    """
    text = json.dumps(_escape_texts(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Own(text)


def _escape_texts(value: Any) -> Any:
    if isinstance(value, str):
        return escape_line(value)
    if isinstance(value, Mapping):
        return {escape_line(str(key)): _escape_texts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_escape_texts(item) for item in value]
    return value


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
    if isinstance(value, Own):
        return value
    if isinstance(value, Markup):  # a drawing: the texts of others in it are XML already, and its lines are long
        return Markup(escape_lines(value, length_max=None))  # noqa: S704 - nothing becomes markup that was none
    return escape_line(value) if isinstance(value, str) else value
