"""Judges a measurement against the budgets, and shows the same rows as JSON, Markdown and one HTML page."""
