"""The embedded default: smart-home voice commands that edgepack writes itself, and a MiniLM fine-tuned on them once."""
