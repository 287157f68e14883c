"""Corpora from raw documents: cleaning, indexing, pairing, synthesis, quality. Needs no torch to import."""
