"""Experiments: the scaling study, trials of communication settings, and choices of the training."""
