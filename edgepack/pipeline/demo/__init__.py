"""The demo: smart-home voice commands that edgepack writes itself, and a MiniLM that is fine-tuned on them once."""
