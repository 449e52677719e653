"""Photos as pixels, features and perceptual hashes: decoding, feature extractors and their weights, and the drawn sample."""
