"""The seam between the host and a board: what a transport can do. One module in this folder each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from toolchain.agent.measure.facts import Facts
from toolchain.agent.measure.settings import DEFAULTS, MeasureSettings

OnProgress = Callable[[str, int, int], None]
"""Gets the step, what is done of it, and the total."""


@dataclass(frozen=True)
class AgentResult:
    """What the agent said: its JSON object, and its exit code, which is the verdict's."""

    exit_code: int
    document: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """What goes to a board: a bundle's folder, of which its signature there is left, the signature, what the target asks for."""

    bundle: Path
    signature: bytes | None = None
    """The content of manifest.json.sig; None for an unsigned bundle."""
    signature_required: bool = False
    settings: MeasureSettings = DEFAULTS


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the agent measured on the board, and who vouches for what it measured."""

    document: Mapping[str, Any]
    """The JSON object of `agent verify`."""
    samples_ms: Mapping[str, Sequence[float]]
    """Every latency sample by payload."""
    bundle_id: str | None = None
    """For which bundle the board answers; None is this machine, which records nothing."""
    recorded: tuple[str, str, str, str, int, bool, str, str] | None = None
    """What the board recorded as proven: model and target, precision, runtime, threads, whether pinned, path and sha256."""
    environment: Mapping[str, object] = field(default_factory=dict)
    """What the recorded verdict rests on (agent/measure/environment.py)."""
    facts: Mapping[str, Facts] = field(default_factory=dict)
    """What the board said of itself before, by runtime; nothing where it was not asked."""
    signer: str | None = None
    """Whom of its allowed signers the board found behind the signature; None where it checked none."""
    notes: Sequence[str] = ()
    """What went wrong after the bundle was active, and is put right by the next command."""


class Transport(Protocol):
    """A way to one board. Entering it takes the output folder for this deploy alone (exit 17 where another has it)."""

    @property
    def device(self) -> str | None:
        """The name of the unit; None is this machine."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read_facts(self, runtime: str) -> Facts:
        """Return the board's facts."""

    def place_bundle(self, shipment: Shipment, on_progress: OnProgress) -> int:
        """Bring a bundle to the board and return how many bytes of its files had to be sent.

        At every moment the board has the old bundle or the new one, whole. Raises ToolchainError: exit 10 the board
        does not trust the signature, 11 the copy differs from the manifest, 12, 13 the board refuses the bundle, 14
        no space or not writable, 15 to 17 the way to the board, 23 malformed.
        """

    def measure_bundle(self, on_progress: OnProgress) -> Measured:
        """Have the placed bundle's own agent verify it on the board; call place_bundle first.

        Raises the ToolchainError that the agent reports, or exit 1 where it died.
        """
