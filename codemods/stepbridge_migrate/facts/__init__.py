"""What the source of a project says of its DAGs and tasks, without running it."""
