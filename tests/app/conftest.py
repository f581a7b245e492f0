"""The boards of tests/agent/application, for those who come from outside of this process."""

from tests.agent.application.conftest import board, bundles, bytecode, frames, keys, template

__all__ = ["board", "bundles", "bytecode", "frames", "keys", "template"]
