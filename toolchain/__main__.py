"""The command `toolchain`; `python -m toolchain` is the same, as accelerate and torchrun start it."""

import signal


def main() -> None:
    """Run the command line; an interrupt before it listens, or after the verdict, is no traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from toolchain.cli import main as run_command_line

    try:
        run_command_line()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # libraries take up to a second to close


if __name__ == "__main__":
    main()
