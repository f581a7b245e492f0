"""The errors that an application may want to tell apart; all of them are a ToolchainError with its exit code."""

from __future__ import annotations

from ..errors import ToolchainError


class ExpiredError(ToolchainError):
    """The verdict of the active release holds no more, or there is none (25)."""


class FrameError(ToolchainError):
    """A frame is not what the payload takes (2); the model goes on with the next one."""


class ClosedError(ToolchainError):
    """The model was closed (2)."""
