"""PyTorch modules: built, run, trained, exported."""
