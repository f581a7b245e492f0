"""The trust state of a board, ROOT/state.json: which releases it has proven, and below which counter it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Dict, Optional, Tuple, cast

from ..decode import decode, parse_json
from ..errors import ExitCode, ToolchainError
from .folder import Folder

STATE_NAME = "state.json"
SCHEMA = 4
_BUNDLE_ID = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Active:
    """What of the active release was proven: the payload's path in the bundle, its hash, and how it is opened."""

    model: str
    precision: str
    runtime: str
    threads: int
    pins_threads: bool
    payload: str
    sha256: str


@dataclass(frozen=True)
class TrustState:
    """`counter` is the highest that was active here; `proven` are releases that passed their self-test, oldest first.

    `active` says of `current` what its verdict says; None where there is none.
    """

    schema: int
    counter: int
    current: Optional[str]
    previous: Optional[str]
    proven: Tuple[str, ...]
    active: Optional[Active]


EMPTY = TrustState(schema=SCHEMA, counter=0, current=None, previous=None, proven=(), active=None)


def is_bundle_id(text: str) -> bool:
    """Return whether a text has the form of a bundle_id."""
    return _BUNDLE_ID.fullmatch(text) is not None


def read_state(root: Folder) -> TrustState:
    """Return the trust state, the empty one where there is none; raises ToolchainError (exit 23) for a broken file."""
    path = root.path / STATE_NAME
    data = root.read(STATE_NAME)
    if data is None:
        return EMPTY
    try:
        state = cast("TrustState", decode(TrustState, _upgrade(parse_json(data, STATE_NAME)), STATE_NAME))
    except ToolchainError as error:
        fix = f"restore {path}; or remove it: its counter then starts again at that of the active release"
        what = "the board's trust state cannot be read"
        raise ToolchainError(
            ExitCode.MALFORMED, what, where=error.where, expected=error.expected, found=error.found, fix=fix
        ) from error
    named = [bundle_id for bundle_id in (state.current, state.previous, *state.proven) if bundle_id is not None]
    if state.schema != SCHEMA or not all(map(is_bundle_id, named)):
        what = "the board's trust state is not one of this agent's"
        fix = "deploy with the newest toolchain that was ever used for this board"
        raise ToolchainError(
            ExitCode.MALFORMED, what, where=str(path), expected=f"schema {SCHEMA}", found=str(state.schema), fix=fix
        )
    return state


def _upgrade(document: object) -> object:
    # Schema 1 did not say what was proven of the active release, 2 and 3 not all of how it is opened; its verdict says it again.
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(document, dict) and schema in (1, 2, 3) and ("active" in document) == (schema != 1):
        upgraded: Dict[str, object] = {**document, "schema": SCHEMA, "active": None}
        return upgraded
    return document


def write_state(root: Folder, state: TrustState) -> None:
    """Replace the trust state in one step."""
    root.write(STATE_NAME, (json.dumps(asdict(state), sort_keys=True) + "\n").encode("utf-8"))
