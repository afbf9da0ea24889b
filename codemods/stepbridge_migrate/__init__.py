"""The migrate CLI: move one task of a DAG to a step, prove it, take it back."""
