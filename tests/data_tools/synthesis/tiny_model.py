"""A tiny model of random weights as a Hugging Face folder, with a tokenizer: quick to load, and it writes nonsense."""

from pathlib import Path

from data_tools.text.readers import Document, write_documents
from data_tools.text.training import train_tokenizer
from tests.support import WORDS

VOCABULARY, CONTEXT = 400, 128
TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %} [answer]{% endif %}"
)


def tiny_model(folder: Path, *, tokenizer: str = "byte-level") -> Path:
    """A Llama of two layers; its answers differ much from prompt to prompt.

    Args:
        folder: to make.
        tokenizer: "byte-level" (`tokenizer.json`) or "sentencepiece" (`tokenizer.model`).
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, num_key_value_heads=2, initializer_range=0.4,
        bos_token_id=None, eos_token_id=None, **sizes,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    source = folder.with_name(folder.name + ".jsonl")
    texts = (" ".join(WORDS[number % 17 :] + [f"number {number}"]) for number in range(200))
    write_documents(source, (Document(f"a/{number}", text, "test", "none") for number, text in enumerate(texts)))
    made = folder.with_name(folder.name + "-tokenizer")
    train_tokenizer([source], made, vocabulary=VOCABULARY, kind=tokenizer)
    for path in made.glob("tokenizer*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
