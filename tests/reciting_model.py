"""A Hugging Face model that recites one text, whatever it is asked: small, real, and loaded like any other.

Every piece of the text is a token of its own, whose hidden state is its embedding alone; the output layer maps it to
the token that comes next.
"""

import json
import re
from itertools import pairwise
from pathlib import Path

VOCABULARY, HIDDEN = 400, 64
"""Ids of a corpus of `support.make_corpus` are in the vocabulary; the text has fewer pieces than the hidden size."""
UNKNOWN, START, END = "<unk>", "<start>", "<end>"
"""START has the id of the corpus's end token, at which a prompt of token ids ends; a chat prompt ends with it too."""


def make_reciting_model(folder: Path, text: str) -> Path:
    """Write the model; returns its folder."""
    pieces = re.findall(r"\s*\S+", text)
    assert len(set(pieces)) == len(pieces) < HIDDEN, "a word that comes twice has two successors"
    tokens = [UNKNOWN, START, END, *pieces]
    said = [START, *pieces, END]
    _write_tokenizer(folder, tokens)
    _write_weights(folder, after={tokens.index(one): tokens.index(next_one) for one, next_one in pairwise(said)})
    return folder


def _write_tokenizer(folder: Path, tokens: list[str]) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models

    tokenizer = Tokenizer(models.WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=UNKNOWN))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (START, END)])
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}" + START
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _write_weights(folder: Path, *, after: dict[int, int]) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=8192, tie_word_embeddings=False, bos_token_id=None, eos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        for token, following in after.items():
            model.model.embed_tokens.weight[token, token] = 1.0
            model.lm_head.weight[following, token] = 100.0
    model.save_pretrained(folder)
