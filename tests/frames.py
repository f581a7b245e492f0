"""Frames as YUV cameras give them, written down by another hand than the reference: in floats, from the recommendations."""

import numpy as np

_SHARES = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722)}


def encode_yuv(picture, colour):
    """Return a picture in RGB (h, w, 3) as a frame; colours are the mean of their blocks."""
    packing, matrix, span = colour.split("/")
    red, blue = _SHARES[matrix]
    r, g, b = np.moveaxis(picture.astype(float), 2, 0)
    light = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - light) / (2 - 2 * blue), (r - light) / (2 - 2 * red)
    if span == "limited":
        light, u, v = 16 + light * 219 / 255, u * 224 / 255, v * 224 / 255
    y, u, v = (np.rint(plane).clip(0, 255).astype(np.uint8) for plane in (light, u + 128, v + 128))
    if packing == "YUYV":
        u, v = (plane.reshape(len(plane), -1, 2).mean(axis=2).astype(np.uint8) for plane in (u, v))
        return np.stack([y, np.stack([u, v], axis=2).reshape(y.shape)], axis=2)
    height, width = y.shape
    u, v = (plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)).astype(np.uint8) for plane in (u, v))
    first, second = (v, u) if packing == "NV21" else (u, v)
    colours = np.stack([u, v]) if packing == "I420" else np.stack([first, second], axis=2)
    return np.concatenate([y, colours.reshape(height // 2, width)])[..., None]
