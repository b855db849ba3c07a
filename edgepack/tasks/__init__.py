"""One file a task: what goes in, what comes out, how it is judged. No torch."""
