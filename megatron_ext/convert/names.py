"""Which part of Megatron-core's tensors each Hugging Face tensor is: one table, read in both directions.

Every Hugging Face tensor is a *view* of one of Megatron-core's. Export reads the view, import writes into it, so the
two can't disagree and no value is ever computed. Three things differ: Megatron-core pads the vocabulary, keeps gate
and up projection in one matrix, and keeps the rows of query, key and value of each group of heads together.

Shape suffixes: V vocabulary, N hidden, F ffn, H query heads, G key-value heads, D head size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from megatron_ext.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor


def _whole(weight: "Tensor") -> "Tensor":
    return weight


@dataclass(frozen=True)
class Entry:
    """One Hugging Face tensor and where it is in Megatron-core's model."""

    theirs: str
    shape: tuple[int, ...]
    """Of the Hugging Face tensor."""
    ours: str
    """Name of Megatron-core's tensor."""
    part: "Callable[[Tensor], Tensor]" = _whole
    """Megatron-core's tensor -> the view of it that holds these values, in their order, perhaps of other dimensions."""

    def read(self, weight: "Tensor") -> "Tensor":
        """The Hugging Face tensor; may share memory with Megatron-core's."""
        return self.part(weight).reshape(self.shape)

    def write(self, weight: "Tensor", value: "Tensor") -> None:
        """Put the Hugging Face tensor into its place, in the dtype and on the device of that place."""
        place = self.part(weight)
        place.copy_(value.reshape(place.shape))


def entries(model: ModelConfig) -> Iterator[Entry]:
    """All tensors of a model, in the order in which they are used."""
    vocabulary_VN = (model.vocabulary, model.hidden)
    yield Entry("model.embed_tokens.weight", vocabulary_VN, "embedding.word_embeddings.weight", _rows(model.vocabulary))
    for layer in range(model.layers):
        for entry in _layer(model):
            ours, theirs = f"decoder.layers.{layer}.{entry.ours}", f"model.layers.{layer}.{entry.theirs}"
            yield Entry(theirs, entry.shape, ours, entry.part)
    yield Entry("model.norm.weight", (model.hidden,), "decoder.final_layernorm.weight")
    if not model.tied_embeddings:
        yield Entry("lm_head.weight", vocabulary_VN, "output_layer.weight", _rows(model.vocabulary))


def _layer(model: ModelConfig) -> Iterator[Entry]:
    hidden, ffn, size = model.hidden, model.ffn, model.head_size
    query, key = model.heads * size, model.kv_heads * size
    share = query // model.kv_heads  # rows of the queries that share a key
    qkv, fc1 = "self_attention.linear_qkv.weight", "mlp.linear_fc1.weight"
    yield Entry("input_layernorm.weight", (hidden,), "input_layernorm.weight")
    yield Entry("self_attn.q_proj.weight", (query, hidden), qkv, _of_each_group(model, 0, share))
    yield Entry("self_attn.k_proj.weight", (key, hidden), qkv, _of_each_group(model, share, share + size))
    yield Entry("self_attn.v_proj.weight", (key, hidden), qkv, _of_each_group(model, share + size, share + 2 * size))
    if model.qk_norm:
        yield Entry("self_attn.q_norm.weight", (size,), "self_attention.q_layernorm.weight")
        yield Entry("self_attn.k_norm.weight", (size,), "self_attention.k_layernorm.weight")
    yield Entry("self_attn.o_proj.weight", (hidden, query), "self_attention.linear_proj.weight")
    yield Entry("post_attention_layernorm.weight", (hidden,), "pre_mlp_layernorm.weight")
    yield Entry("mlp.gate_proj.weight", (ffn, hidden), fc1, _rows(ffn))
    yield Entry("mlp.up_proj.weight", (ffn, hidden), fc1, _rows(2 * ffn, start=ffn))
    yield Entry("mlp.down_proj.weight", (hidden, ffn), "mlp.linear_fc2.weight")


def _rows(stop: int, *, start: int = 0) -> "Callable[[Tensor], Tensor]":
    return lambda weight: weight[start:stop]


def _of_each_group(model: ModelConfig, start: int, stop: int) -> "Callable[[Tensor], Tensor]":
    return lambda weight: weight.view(model.kv_heads, -1, model.hidden)[:, start:stop]
