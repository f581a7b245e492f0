"""The tiny project's fixtures, for the tests that run the real command."""

from tests.tiny_project import cached_project, deployed, deployed_copy, project, shared_cache, tiny

__all__ = ["cached_project", "deployed", "deployed_copy", "project", "shared_cache", "tiny"]
