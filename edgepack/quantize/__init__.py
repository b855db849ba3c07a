"""From a file to a narrower file: one scheme a file of schemes/, and what schemes share."""
