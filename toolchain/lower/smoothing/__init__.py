"""SmoothQuant's migration (Xiao et al. 2022, arXiv:2211.10438): channels of large activations hand their size to weights."""

from toolchain.lower.smoothing.smooth import Smoothing, smooth_outliers

__all__ = ["Smoothing", "smooth_outliers"]
