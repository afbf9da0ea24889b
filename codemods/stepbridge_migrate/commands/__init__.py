"""The commands of ``migrate``, one module for each kind: looking, editing, looking things up."""
