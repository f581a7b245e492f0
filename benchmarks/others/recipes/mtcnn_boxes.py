"""What the outputs of MTCNN's nets mean, as detect_face.py of facenet-pytorch reads them: boxes of faces, and their scores."""

import numpy as np

from ..detection.choose import Choice, choose_detections

OUTPUTS = ("boxes", "scores", "classes")
READS = ("output_0", "output_1")
CELL, STRIDE = 12, 2


def cells(outputs, inputs):
    """P-Net: differences (n, 4, h, w) from windows of 12 pixels, two pixels apart, and probabilities (n, 2, h, w)."""
    moves, scores = outputs["output_0"], outputs["output_1"][:, 1]
    rows, columns = (place.ravel() * STRIDE + 1 for place in np.indices(scores.shape[1:]))
    windows = np.stack([columns, rows, columns + CELL - 1, rows + CELL - 1], axis=1)
    boxes = windows + moves.reshape(len(moves), 4, -1).transpose(0, 2, 1) * CELL
    return choose_detections(boxes, scores.reshape(len(scores), -1, 1), Choice(threshold=0.3))


def second(outputs, inputs):
    """R-Net: of a window of 24 pixels."""
    return _move(outputs["output_0"], outputs["output_1"], 24)


def third(outputs, inputs):
    """O-Net, which returns points between the two: of a window of 48 pixels."""
    return _move(outputs["output_0"], outputs["output_2"], 48)


def _move(moves, scores, side):
    boxes = np.array([0, 0, side, side]) + moves * side
    return choose_detections(boxes[:, None], scores[:, None, 1:], Choice(threshold=0.3))
