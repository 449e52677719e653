"""Scores of captions (BLEU, CIDEr-D, bootstrap intervals) and comparisons of populations, as map and reduce steps."""
