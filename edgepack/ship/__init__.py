"""A pack becomes a module of somebody's app; load and generate run it here."""
