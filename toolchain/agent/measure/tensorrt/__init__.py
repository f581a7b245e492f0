"""TensorRT on a board: engines are built, pinned and run here; runtimes/tensorrt.py is the door."""
