"""The two classes of a step, silence and speech, of the probability of speech."""

import numpy as np

OUTPUTS = ("scores",)
READS = ("output",)


def silence_or_speech(outputs, inputs):
    """Return scores (n, 2)."""
    return {"scores": np.concatenate([1 - outputs["output"], outputs["output"]], axis=1)}
