"""Brings a bundle to a board and runs its agent there."""
