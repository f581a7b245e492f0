"""Lets `python -m toolchain` be the command, as accelerate and torchrun start it."""

from toolchain.cli import main

main()
