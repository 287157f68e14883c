"""Tokens of many prompts at a time, with a model of transformers; each row is drawn as if it were alone.

Every row has a generator of its own, and every token of the vocabulary a draw of its own in each step: the token with
the greatest probability / Exp(1) wins, which it does with just that probability. Rounding differs with the batch that
a row is in. It would move every boundary of a cumulative distribution and so change an answer in a few hundred tokens;
here it matters only where the two best are equal to the last digits.

Shape suffixes: R rows still written, V vocabulary, S tokens of the padded prompts.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from data_tools.synthesis.requests import Sampling


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt and how to go on."""

    prompt: list[int]
    sampling: Sampling
    seed: int
    limit: int
    """Most tokens to write, at least 1."""
    choices: tuple[list[int], ...] = ()
    """What is weighed instead of anything being written."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it."""

    ids: list[int]
    """Without the end token."""
    ended: bool
    """By an end token; False: cut at the limit."""


def decode(model: Any, rows: Sequence[Row], ends: AbstractSet[int]) -> list[Written]:
    """Continue all rows. One that ends leaves the batch, so that the others need not wait for it.

    Args:
        model: of transformers, for causal language modelling.
        rows: what to continue.
        ends: ids of tokens that end a row.
    """
    import torch

    device = model.device
    ids_RS, mask_RS = (tensor.to(device) for tensor in padded([row.prompt for row in rows]))
    place_RS = (mask_RS.cumsum(1) - 1).clamp(min=0)
    generators = [torch.Generator(device).manual_seed(row.seed) for row in rows]
    written: list[list[int]] = [[] for _ in rows]
    ended = [False] * len(rows)
    left = list(range(len(rows)))
    cache = None
    with torch.inference_mode():
        while True:
            result = model(
                input_ids=ids_RS, attention_mask=mask_RS, position_ids=place_RS, past_key_values=cache, use_cache=True,
                logits_to_keep=1,
            )  # fmt: skip
            cache = result.past_key_values
            settings = [rows[number].sampling for number in left]
            chosen_R = draw(result.logits[:, -1].float(), settings, [generators[number] for number in left])
            keep = []
            for position, (number, token) in enumerate(zip(left, chosen_R.tolist(), strict=True)):
                ended[number] = token in ends
                if not ended[number]:
                    written[number].append(token)
                    if len(written[number]) < rows[number].limit:
                        keep.append(position)
            if not keep:
                return [Written(*row) for row in zip(written, ended, strict=True)]
            if len(keep) < len(left):
                kept = torch.tensor(keep, device=device)
                cache.batch_select_indices(kept)
                chosen_R, mask_RS, place_RS = chosen_R[kept], mask_RS[kept], place_RS[kept]
                left = [left[position] for position in keep]
            ids_RS = chosen_R[:, None]
            mask_RS = torch.cat([mask_RS, mask_RS.new_ones(len(left), 1)], dim=1)
            place_RS = place_RS[:, -1:] + 1


def draw(logits_RV: Any, settings: Sequence[Sampling], generators: Sequence[Any]) -> Any:
    """One token for each row, shape (R,).

    The probabilities are softmax(logits / temperature). With top_p, a token is out if those that are likelier than it
    sum up to top_p already.

    Args:
        logits_RV: tensor of float32, shape (R, V).
        settings: of each row; temperature 0 takes the likeliest token.
        generators: torch's, one for each row, on the device of the logits.
    """
    import torch

    temperature_R = logits_RV.new_tensor([setting.temperature or 1 for setting in settings])
    top_p_R = logits_RV.new_tensor([setting.top_p if setting.temperature else 0.0 for setting in settings])
    probability_RV = torch.softmax(logits_RV / temperature_R[:, None], dim=1)
    waiting_RV = torch.ones_like(probability_RV)
    for wait_V, setting, generator in zip(waiting_RV, settings, generators, strict=True):
        if setting.temperature:
            wait_V.uniform_(generator=generator)
            wait_V.log_().neg_()
    race_RV = probability_RV / waiting_RV
    while True:
        chosen_R = race_RV.argmax(dim=1)
        least_R1 = probability_RV.gather(1, chosen_R[:, None])
        likelier_R = probability_RV.masked_fill(probability_RV <= least_R1, 0).sum(dim=1)
        # Rounding must put no token out where all are in, and the likeliest is always in.
        out_R = (likelier_R >= top_p_R) & (top_p_R < 1) & (likelier_R > 0)
        if not out_R.any():
            return chosen_R
        race_RV.masked_fill_(out_R[:, None] & (probability_RV <= least_R1), 0)


def padded(prompts: Sequence[list[int]]) -> tuple[Any, Any]:
    """Ids, and which of them are there: filled up on the left, so that all rows go on at the same place."""
    import torch

    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids, mask
