"""What a corpus is on disk: indexed tokens, groups, and the manifest that says where they came from."""
