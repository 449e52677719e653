"""The captioner: its Keras model, its text and tokens, beam search, and BLEU of the validation photos during training."""
