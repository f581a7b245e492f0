"""The target that every sample has: itself."""

INPUT = "input"
"""The first input, as the model gets it: what an autoencoder learns."""
