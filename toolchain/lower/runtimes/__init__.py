"""The lowerings: one module a runtime, found by its name; its other half is in toolchain/agent/measure/runtimes/."""
