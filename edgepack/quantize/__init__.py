"""From a file to a narrower file: one scheme a file."""
