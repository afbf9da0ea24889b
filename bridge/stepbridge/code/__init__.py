"""What of a project's source a step reaches, and how it ships."""
