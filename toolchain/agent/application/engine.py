"""An engine that was proven, as a session that several threads may ask. Not yet run on hardware."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Dict, Mapping, Optional

from ..errors import ExitCode, ToolchainError
from ..install.engine_file import EngineFile
from ..install.verdict import BuiltEngine
from ..measure.session import Session, open_engine
from ..measure.traits import find_traits
from .errors import FrameError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EngineSession:
    """The session that was measured, one frame at a time: its buffers are for one, and other threads wait."""

    engine = None

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self.inputs, self.outputs = session.inputs, session.outputs

    def run(self, feeds: Mapping[str, NDArray[np.generic]]) -> Dict[str, NDArray[np.generic]]:
        """Return one array per output; raises FrameError for shapes that the engine was not built for."""
        with self._lock:
            try:
                return self._session.run(feeds)
            except ToolchainError as error:
                if error.code != ExitCode.MALFORMED:  # by which a session says that it does not take this data
                    raise
                where, expected, found, fix = error.where, error.expected, error.found, error.fix
                raise FrameError(
                    ExitCode.USAGE, error.what, where=where, expected=expected, found=found, fix=fix
                ) from error

    def close(self) -> None:
        """Give back all memory of the GPU and the host."""
        self._session.close()


def open_proven_engine(runtime: str, engine: EngineFile) -> EngineSession:
    """Open the bytes that were held against the verdict; nothing is built, and the file is not read again."""
    return EngineSession(open_engine(runtime, engine.data, engine.path))


def check_what_was_proven(runtime: str, engine: Optional[BuiltEngine], where: str) -> None:
    """Refuse (exit 12) a verdict without an engine where the runtime would build one, and one with an engine where it opens none."""
    opens_engines = find_traits(runtime).engine is not None
    if opens_engines != (engine is not None):
        what, fix = "what was proven is nothing that the runtime opens", "deploy the bundle again"
        expected = f"{'an engine' if opens_engines else 'a payload'} of {runtime}"
        found = "no engine" if engine is None else "an engine"
        raise ToolchainError(ExitCode.INCOMPATIBLE, what, where=where, expected=expected, found=found, fix=fix)
