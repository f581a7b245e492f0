"""Takes a trained PyTorch model to a proven artifact on an edge board."""
