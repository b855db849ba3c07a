"""What several tasks use: the record of a task, rows, scores, columns, metrics, calibration and losses. No task by name."""
