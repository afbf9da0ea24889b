"""Runs one attempt of one step from its request."""
