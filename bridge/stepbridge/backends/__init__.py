"""Where a runner is started."""
