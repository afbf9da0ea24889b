"""The parts of the ``stepbridge`` command."""
