"""Asks a machine and makes figures of what it answers. Never imports torch."""
