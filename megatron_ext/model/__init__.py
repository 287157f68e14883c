"""A model's sizes to Megatron-core's GPTModel, cut over ranks, with the same first weights in every layout."""

from megatron_ext.model.build import build_model, padded_vocabulary, transformer_config

__all__ = ["build_model", "padded_vocabulary", "transformer_config"]
