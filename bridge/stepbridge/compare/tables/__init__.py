"""Comparing tables: schema, counts, rows in place or by key or as multisets, bounded in memory."""
