"""How good a corpus is: rules over all of its documents, a model's verdicts on a sample, and a decision on both."""
