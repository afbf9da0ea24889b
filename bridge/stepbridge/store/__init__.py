"""Where artifacts, code, caches and run records lie: one interface, local files and S3 behind it."""
