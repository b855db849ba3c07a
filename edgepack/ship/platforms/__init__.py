"""One file a platform, found by its name."""
