"""Callables that DAG files import."""
