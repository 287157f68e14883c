"""Pretraining on synthetic data with Megatron-core: plans, training, evaluation, reports."""
