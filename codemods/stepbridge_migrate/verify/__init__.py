"""Proof of an edit: its text, and the DAG that the project's own Airflow makes of it."""
