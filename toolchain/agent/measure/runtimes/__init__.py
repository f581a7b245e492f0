"""The runtimes that can open a payload: one module each, found by its name."""
