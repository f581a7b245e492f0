"""Comparisons and measurements on the host; the metrics themselves are the agent's."""
