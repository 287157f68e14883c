"""Checkpoints of a run: written while training goes on, whole or absent, proved by hashes, read in any layout.

`folders` says which there are, `integrity` whether one is sound, `saving` and `loading` write and read them with
Megatron-core's dist_checkpointing. Only the last two need torch.
"""
