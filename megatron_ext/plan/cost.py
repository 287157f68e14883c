"""What a model costs: parameters, FLOPs of training and of generation, memory on a GPU. Arithmetic only.

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

        3 tokens (2 (layers x matrices + hidden x vocabulary) + layers x 4 width (sequence_length + 1) / 2)

    The backward pass costs twice the forward pass; each key that a token meets costs 4 x the width of all heads: score
    and mean.
    """
    matrices = 2 * (model.layers * _layer_matrices(model) + model.hidden * model.vocabulary)
    attention = model.layers * 2 * _width(model) * (sequence_length + 1)
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
    attention = model.layers * 4 * _width(model) * (passed * (passed + 1) // 2)
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


def checkpoint_bytes(config: RunConfig) -> int:
    """Bytes of one checkpoint: the weights, and in float32 AdamW's two moments and, for bf16, the main weights."""
    return parameters(config.model) * (_weight_bytes(config) + _state_bytes(config))


def memory_per_gpu(config: RunConfig, ranks: int) -> Memory:
    """An estimate for the fullest GPU; leave a fifth on top for buffers and fragmentation.

    Weights in the run's precision, gradients in float32, AdamW's two moments (and, for bf16, a float32 copy of the
    weights) shared out over the data-parallel ranks, activations, logits in float32 twice.

    Args:
        config: the run.
        ranks: GPUs in all.
    """
    model, layout, batch = config.model, config.layout, config.batch
    data_parallel = max(1, ranks // layout.model_ranks)
    layers = -(-model.layers // layout.pipeline)
    embeddings = model.vocabulary * model.hidden
    if layout.pipeline == 1 and not model.tied_embeddings:
        embeddings *= 2
    weights = (layers * _layer_matrices(model) + embeddings) // layout.tensor
    tokens = batch.micro_batch * batch.sequence_length // layout.context
    # The first stage of a pipeline holds as many micro batches as there are stages, an interleaved one some more.
    held = layout.pipeline + (layout.pipeline - 1) // layout.chunks if layout.chunks > 1 else layout.pipeline
    parts = {
        "weights": weights * _weight_bytes(config),
        "gradients": weights * 4,
        # Context ranks hold the same weights, and share the optimizer's state too.
        "optimizer": weights * _state_bytes(config) // (data_parallel * layout.context),
        "activations": tokens * _kept_per_token(config, layers) * _weight_bytes(config) * held,
        "logits": tokens * model.vocabulary // layout.tensor * 8,
    }
    return Memory(**parts, total=sum(parts.values()))


def _kept_per_token(config: RunConfig, layers: int) -> int:
    """Numbers that the layers of a stage keep for the backward pass, for each token of a micro batch.

    A layer keeps inputs of two norms and two blocks, q and its context, k and v, three of the FFN. Where whole layers
    are computed again it keeps its input only, and one layer at a time the rest.
    """
    model, layout = config.model, config.layout
    shared = layout.tensor if layout.sequence_parallel else 1
    inside = (2 * _width(model) + 2 * model.kv_heads * model.head_size + 3 * model.ffn) // layout.tensor
    whole = 4 * model.hidden // shared + inside
    return layers * model.hidden // shared + whole if layout.recompute == "full" else layers * whole


def _weight_bytes(config: RunConfig) -> int:
    return 4 if config.precision == "fp32" else 2


def _state_bytes(config: RunConfig) -> int:
    return 8 if config.precision == "fp32" else 12


def _width(model: ModelConfig) -> int:
    """Of all heads together; that of the residual stream unless heads have a size of their own."""
    return model.heads * model.head_size


def _layer_matrices(model: ModelConfig) -> int:
    """Weights of one layer's matrices: q and output, k and v, and the three of SwiGLU."""
    attention = 2 * model.hidden * _width(model) + 2 * model.hidden * model.kv_heads * model.head_size
    return attention + 3 * model.hidden * model.ffn
