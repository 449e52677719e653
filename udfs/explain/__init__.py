"""Explanations of captions: saliency maps of each word, checks of their faithfulness, and the pictures that show them."""
