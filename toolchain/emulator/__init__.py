"""An ARM board without hardware: an arm64 Debian root, run instruction by instruction, with an sshd of its own.

    python -m toolchain.emulator start [TARGET]     (make board TARGET=…)
    python -m toolchain.emulator stop      (make board-stop)
    python -m toolchain.emulator python    prints the path of a script that runs its Python on this machine's files (make test-board)

Deploying to it is the normal deploy. What it computes is what ARM kernels compute; its latency is no measurement.
"""
