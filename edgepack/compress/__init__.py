"""From model to model: one verb a file."""
