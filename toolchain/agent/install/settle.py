"""Settles what a run left that failed or was killed: the old release is active or the new one, and nothing is half."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Optional

from ..bundle_files import SHIPPED_LINK
from ..durable import TEMPORARY_SUFFIX, move, remove_tree
from ..errors import ToolchainError
from ..manifest import read_manifest
from .folder import Folder
from .slots import CURRENT, PARTIAL, PREVIOUS, REPLACED, Slots
from .trust import EMPTY, Active, TrustState, read_state, write_state
from .verdict import find_verdict, read_verdict


def _bring_back_replaced(slots: Slots) -> None:
    # Killed between the two renames of Slots.place: the release is missing, and the verified copy is still staged.
    for path in slots.staging.glob(f"*{REPLACED}"):
        bundle_id = path.name[: -len(REPLACED)]
        if not os.path.lexists(str(slots.find_release(bundle_id))):
            move(path, slots.find_release(bundle_id))


def _settle_links(slots: Slots) -> TrustState:
    # The rename of `current` decides. Where the state does not know of it yet, the state follows.
    state = read_state(slots.folder)
    current = slots.read_link(CURRENT)
    if current is None and state.current is not None and slots.has_release(state.current):
        slots.switch(CURRENT, state.current)
        current = state.current
    settled = state
    if current is not None and current != state.current:
        settled = record_switch(slots, state, current)
    previous = settled.previous
    if previous is not None and not slots.has_release(previous):
        previous = None
    if slots.read_link(PREVIOUS) != previous:
        slots.switch(PREVIOUS, previous)
    proven = tuple(bundle_id for bundle_id in settled.proven if slots.has_release(bundle_id))
    active = None if current is None else describe_active(slots.folder, current)
    settled = replace(settled, current=current, previous=previous, proven=proven, active=active)
    if settled not in (state, EMPTY):
        write_state(slots.folder, settled)
    return settled


def record_switch(slots: Slots, state: TrustState, current: str) -> TrustState:
    """Return the state after `current` was switched: what was active is the previous one, the counter never falls."""
    counter = read_manifest(slots.find_release(current))[0].counter
    others = tuple(bundle_id for bundle_id in state.proven if bundle_id != current)
    previous = state.previous if state.current == current else state.current
    return replace(
        state,
        counter=max(state.counter, counter),
        current=current,
        previous=previous,
        proven=(*others, current),
    )


def describe_active(root: Folder, bundle_id: str) -> Optional[Active]:
    """Return what was proven of a release; None where its verdict is missing or cannot be read."""
    try:
        verdict = read_verdict(root, bundle_id)
    except ToolchainError:  # `status` tells
        return None
    if verdict is None:
        return None
    shipped = verdict.shipped
    return Active(
        verdict.model,
        precision=shipped.precision,
        runtime=shipped.runtime,
        threads=shipped.threads,
        pins_threads=shipped.pins_threads,
        payload=shipped.path,
        sha256=shipped.sha256,
    )


def _settle_verdicts(slots: Slots, state: TrustState) -> None:
    # The verdict decides, the link follows. A verdict of what was not activated, or is gone, is none.
    names = {find_verdict(slots.root, bundle_id).name for bundle_id in state.proven}
    for path in slots.verdicts.iterdir() if slots.verdicts.is_dir() else ():
        if path.name not in names:
            remove_tree(path)
    for bundle_id in state.proven:
        slots.settle_link(bundle_id)


def _settle_unproven(slots: Slots, state: TrustState, discard: Optional[str]) -> None:
    # Verified, but not through its self-test: back to staging, from where the next deploy of it goes on.
    found = [bundle_id for bundle_id in slots.list_releases() if bundle_id not in state.proven]
    for bundle_id in found:
        partial = slots.find_partial(bundle_id)
        if bundle_id == discard or os.path.lexists(str(partial)) or not slots.has_release(bundle_id):
            slots.discard(slots.find_release(bundle_id))
        else:
            remove_tree(slots.find_release(bundle_id) / SHIPPED_LINK)
            move(slots.find_release(bundle_id), partial)


def settle(slots: Slots, *, discard: Optional[str] = None) -> TrustState:
    """Bring a board to old or new; return its trust state. `discard` is a bundle of which nothing unproven is to stay.

    Whatever else was uploaded in part stays in staging, for the next deploy of that bundle to go on with.
    """
    _bring_back_replaced(slots)
    state = _settle_links(slots)
    _settle_unproven(slots, state, discard)
    for path in slots.staging.iterdir():
        if not path.name.endswith(PARTIAL):
            remove_tree(path)
        elif discard is not None and path == slots.find_partial(discard):
            slots.discard(path)
    _settle_verdicts(slots, state)
    for path in slots.root.glob(f"*{TEMPORARY_SUFFIX}"):
        remove_tree(path)
    return state
