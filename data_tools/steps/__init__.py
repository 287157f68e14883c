"""The steps of the data way: each a function from inputs and settings to an artifact folder."""
