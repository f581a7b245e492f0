"""From a sensor's frame to a payload's input, and from its answers back to the frame: the reference for every language.

All of it is integers, or single operations of IEEE 754 that round to nearest even, so that another program can have the same
bits; docs/input_output.md says each step, and the golden pairs of a bundle (../../sensor.py) check it.
"""
