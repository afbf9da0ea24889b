"""A constant of another module."""

UNIT = 5
