"""When a result that exists may stand for a run."""
