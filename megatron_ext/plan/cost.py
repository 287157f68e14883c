"""What a model costs: parameters, FLOPs of training and of generation, memory on a GPU, bytes on disk. Arithmetic only.

A multiplication and an addition are two FLOPs. Attention is causal: a token at position p meets p + 1 keys, itself
included. Looking up an embedding, norms and rotations are not counted: together they are below 1%.
"""

from typing import TypedDict

from megatron_ext.config import ModelConfig, RunConfig


def parameters(model: ModelConfig) -> int:
    """All weights: embedding, layers with their norms, final norm, and the output layer unless it is tied."""
    norms = 2 * model.hidden + (2 * model.head_size if model.qk_norm else 0)
    embeddings = model.vocabulary * model.hidden * (1 if model.tied_embeddings else 2)
    return model.layers * (_layer_matrices(model) + norms) + model.hidden + embeddings


def training_flops(model: ModelConfig, tokens: int, sequence_length: int) -> int:
    """FLOPs of training on rows of full length, forward and backward, without recomputation.

        3 tokens (2 (layers x matrices + hidden x vocabulary) + layers x 4 heads x head_size (sequence_length + 1) / 2)

    The backward pass costs twice the forward pass; each key that a token meets costs 4 heads x head_size: score and
    mean. Where documents are isolated or pairs are packed, a token meets fewer keys: this is then an upper bound.
    """
    matrices = 2 * (model.layers * _layer_matrices(model) + model.hidden * model.vocabulary)
    attention = model.layers * 2 * _attention_width(model) * (sequence_length + 1)
    return 3 * tokens * (matrices + attention)


def generation_flops(model: ModelConfig, *, prompt: int, new: int, documents: int = 1) -> int:
    """FLOPs of writing `new` tokens after a prompt, with a cache of keys and values.

    Args:
        model: the generator.
        prompt: tokens of the prompt, at least 1.
        new: tokens written.
        documents: how many times this is done.
    """
    if new == 0:
        return 0
    passed = prompt + new - 1  # the last token written is never read
    matrices = 2 * model.layers * _layer_matrices(model) * passed
    attention = model.layers * 4 * _attention_width(model) * (passed * (passed + 1) // 2)
    output = 2 * model.hidden * model.vocabulary * new
    return documents * (matrices + attention + output)


class Memory(TypedDict):
    """Bytes on the fullest GPU."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    total: int


def memory_per_gpu(config: RunConfig, ranks: int) -> Memory:
    """An estimate for the fullest GPU; leave a fifth on top for buffers and fragmentation.

    Weights in the run's precision, gradients in float32, AdamW's two moments (and, below fp32, a float32 copy of the
    weights) shared out over the data-parallel and context-parallel ranks, activations, logits in float32 twice.

    Args:
        config: the run.
        ranks: GPUs in all.
    """
    model, layout, batch = config.model, config.layout, config.batch
    sharing = max(1, ranks // (layout.tensor * layout.pipeline))
    layers = model.layers // layout.pipeline
    embeddings = model.vocabulary * model.hidden
    if layout.pipeline == 1 and not model.tied_embeddings:
        embeddings *= 2
    weights = (layers * _layer_matrices(model) + embeddings) // layout.tensor
    width = _width(config)
    tokens = batch.micro_batch * batch.sequence_length // layout.context
    parts = {
        "weights": weights * width,
        "gradients": weights * 4,
        "optimizer": weights * (8 if width == 4 else 12) // sharing,
        "activations": tokens * _activations_of_a_token(config) * width,
        "logits": tokens * model.vocabulary // layout.tensor * 8,
    }
    return Memory(**parts, total=sum(parts.values()))


def checkpoint_bytes(config: RunConfig) -> int:
    """One checkpoint: the weights in the run's precision, and in float32 once more with AdamW's two moments."""
    return parameters(config.model) * (_width(config) + 12)


def _activations_of_a_token(config: RunConfig) -> int:
    """Numbers kept for the backward pass of one token, over all layers and micro batches in flight.

    A layer keeps, for each token: inputs of two norms and two blocks, q and its context, k and v, three of the FFN.
    Scores are never kept, so recomputing attention alone saves nothing; recomputing whole layers keeps their inputs,
    and all of one layer while it is done again.
    """
    model, layout = config.model, config.layout
    stream = -(-model.hidden // layout.tensor) if layout.sequence_parallel else model.hidden
    inside = 2 * _attention_width(model) + 2 * model.kv_heads * model.head_size + 3 * model.ffn
    layer = 4 * stream + inside // layout.tensor
    # The first stage holds as many micro batches as there are stages; interleaving adds those that wait for a chunk.
    in_flight = layout.pipeline + (0 if layout.chunks == 1 else -(-(layout.pipeline - 1) // layout.chunks))
    layers = model.layers // layout.pipeline * in_flight
    return layers * stream + layer if layout.recompute == "full" else layers * layer


def _width(config: RunConfig) -> int:
    """Bytes of a weight and of an activation; fp8 keeps both in bf16 and computes in 8 bits."""
    return 4 if config.precision == "fp32" else 2


def _attention_width(model: ModelConfig) -> int:
    return model.heads * model.head_size


def _layer_matrices(model: ModelConfig) -> int:
    """Weights of one layer's matrices: q and output, k and v, and the three of SwiGLU."""
    attention = 2 * model.hidden * (_attention_width(model) + model.kv_heads * model.head_size)
    return attention + 3 * model.hidden * model.ffn
