"""The runtimes that run payloads: one module each, found by its name; its other half is in toolchain/lower/runtimes/."""
