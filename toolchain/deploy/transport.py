"""The seam between the host and a board: what a transport can do. One module in this folder each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

OnProgress = Callable[[str, int, int], None]
"""Gets the step, what is done of it, and the total."""


@dataclass(frozen=True)
class AgentResult:
    """What the agent said: its JSON object, and its exit code, which is the verdict's."""

    exit_code: int
    document: Mapping[str, Any]


class Transport(Protocol):
    """A way to one board. Entering it takes the board for this deploy alone (exit 17 where another one has it)."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read_facts(self, runtime: str) -> Mapping[str, Any]:
        """Return the board's facts, as `agent facts` prints them."""

    def place_bundle(self, bundle_dir: Path) -> None:
        """Copy a bundle to the board in one step: at every moment the board has the old one or the new one, whole.

        Raises ToolchainError: exit 11 the copy differs from the manifest, 14 no space or not writable, 23 malformed.
        """

    def run_agent(self, arguments: Sequence[str], on_progress: OnProgress) -> AgentResult:
        """Run the placed bundle's own agent, such as with ["verify", "."], in the bundle's folder on the board.

        Raises the ToolchainError that the agent reports, or exit 1 where it died.
        """
