"""What a model predicts: each task knows its labels, its loss, its metrics and how its answers are shown."""
