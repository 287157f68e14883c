"""Facts: how they are learnt and kept."""
