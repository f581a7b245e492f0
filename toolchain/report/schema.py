"""The JSON schema of report.json, generated from its type: `python -m toolchain.report.schema` prints it."""

from __future__ import annotations

import json
import sys

from pydantic import TypeAdapter

from toolchain.report.shape import Report


def render_schema() -> str:
    """Return the schema as the text of report.schema.json."""
    return json.dumps(TypeAdapter(Report).json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render_schema())
