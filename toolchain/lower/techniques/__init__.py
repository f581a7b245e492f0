"""Techniques that make an int8 model closer to the float model without taking a layer out of int8."""
