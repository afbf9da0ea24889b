"""Comparing two results: by type, strict by default, every relaxation by name."""
