"""The sample plan and the token budget."""
