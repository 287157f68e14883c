"""What a trained model is worth on held-out text."""
