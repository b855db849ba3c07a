"""The torch side: checkpoints, tasks, data and quality of a model before it is exported."""
