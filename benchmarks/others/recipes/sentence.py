"""The vector of a sentence is the mean of its words, which the model has as an output beside the words themselves."""

OUTPUTS = ("vector",)
READS = ("461",)


def sentence(outputs, inputs):
    """Return vectors (n, 384)."""
    return {"vector": outputs["461"]}
