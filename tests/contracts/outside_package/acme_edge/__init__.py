"""A package of somebody else that adds members to the toolchain."""
