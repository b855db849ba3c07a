"""Judges what was measured, and shows the same rows as HTML, Markdown and JSON."""
