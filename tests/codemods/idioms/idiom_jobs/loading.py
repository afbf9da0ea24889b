"""Rows for the idioms."""

from idiom_jobs.units import UNIT


def load(count):
    """*count* rows."""
    return [UNIT * n for n in range(count)]
