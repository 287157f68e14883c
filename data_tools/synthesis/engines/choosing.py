"""How likely a model finds each answer that a request gives to choose from: nothing is written.

It is the probability of the choice as the beginning of the answer, all of its tokens together. What is made of it is
the recipe's affair; the answer's text is the list of log-probabilities in nats, "[-3.1416, -2.7183]".

Shape suffixes: R rows, S tokens of the padded prompts, C choices of all rows, T tokens of the padded choices, V
vocabulary.
"""

import json
from collections.abc import Sequence
from typing import Any

from data_tools.synthesis.engines.decoding import Row, padded
from data_tools.synthesis.requests import Answer


def weighed(logprobs: Sequence[float], prompt_tokens: int) -> Answer:
    """The answer to a request with choices, from the log-probability of each."""
    return Answer(json.dumps([round(logprob, 4) for logprob in logprobs]), "stop", prompt_tokens)


def weigh(model: Any, rows: Sequence[Row]) -> list[list[float]]:
    """Log-probabilities of the choices of each row, in nats. A prompt is read once, whatever its choices.

    Args:
        model: of transformers, for causal language modelling.
        rows: with choices.
    """
    import torch

    device = model.device
    ids_RS, mask_RS = (tensor.to(device) for tensor in padded([row.prompt for row in rows]))
    place_RS = (mask_RS.cumsum(1) - 1).clamp(min=0)
    choices = [choice for row in rows for choice in row.choices]
    owner_C = torch.tensor([number for number, row in enumerate(rows) for _ in row.choices], device=device)
    length_C = torch.tensor([len(choice) for choice in choices], device=device)
    most = max(map(len, choices))
    ids_CT = torch.tensor([[*choice, *[0] * (most - len(choice))] for choice in choices], device=device)
    with torch.inference_mode():
        read = model(
            input_ids=ids_RS, attention_mask=mask_RS, position_ids=place_RS, use_cache=True, logits_to_keep=1
        )  # fmt: skip
        logits_CTV = read.logits[owner_C]
        if most > 1:
            read.past_key_values.batch_select_indices(owner_C)
            mask_CS = torch.cat([mask_RS[owner_C], mask_RS.new_ones(len(choices), most - 1)], dim=1)
            place_CT = place_RS[owner_C, -1:] + torch.arange(1, most, device=device)
            written = model(
                input_ids=ids_CT[:, :-1], attention_mask=mask_CS, position_ids=place_CT,
                past_key_values=read.past_key_values, use_cache=True,
            )  # fmt: skip
            logits_CTV = torch.cat([logits_CTV, written.logits], dim=1)
        logprobs_CT = logits_CTV.float().log_softmax(2).gather(2, ids_CT[:, :, None])[:, :, 0]
        counts_CT = torch.arange(most, device=device) < length_C[:, None]
        found = iter((logprobs_CT * counts_CT).sum(1).tolist())
    return [[next(found) for _ in row.choices] for row in rows]
