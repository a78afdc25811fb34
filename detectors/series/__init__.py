"""Checkpoints of one run as a story: pure functions over rows of reports, which know scores and never a model."""
