"""The only code that runs on a board: Python >= 3.8, the standard library, numpy and the runtime."""
