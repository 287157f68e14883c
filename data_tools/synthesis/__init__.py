"""New documents from old ones with a language model."""
