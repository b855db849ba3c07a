"""The records of the folder that is shipped: manifest, runnable, golden vectors, attempts. No torch."""
