"""A command is a library call and a print."""
