"""Opens the model that was proven on this board, in the application's own process.

    from edge_app import open_current

    with open_current("/opt/edge") as model:
        answers = model(frame)

The code is the toolchain's agent (toolchain/agent/application in its repository); this wheel carries what it needs of it.
"""

from .agent.application.errors import ClosedError, ExpiredError, FrameError
from .agent.application.model import Model, open_current
from .agent.application.opened import Release
from .agent.errors import ExitCode, ToolchainError
from .agent.manifest import TensorSpec

__all__ = [
    "ClosedError",
    "ExitCode",
    "ExpiredError",
    "FrameError",
    "Model",
    "Release",
    "TensorSpec",
    "ToolchainError",
    "open_current",
]
