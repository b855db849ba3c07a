"""One reader a statement file: what a model folder states. A key that changes answers is reproduced, or refused by name."""
