"""Text: reading, cleaning, shingles, tokenizers."""
