"""Checkpoints as trainings leave them: nested, prefixed, with averages beside them; read without running code."""
