"""Nets for benchmarks, trained where they are asked for."""
