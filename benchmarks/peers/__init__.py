"""The other quantizers that ours is held against, each with its best recipe, in an environment of its own where it needs one."""
