"""The answer in sentences, whatever it is: what was gained, how sure that is, what it cost."""

from collections.abc import Iterator, Mapping
from typing import Any

from megatron_ext.report.numbers import interval, share, times
from megatron_ext.report.seeds import ARMS

SMALL = 100_000_000
"""Parameters below which a synthesizer is not expected to write useful text; a judgement: SBP reports 3B and 6B."""
LEVEL = 5e-5
"""Nats per token that are not told apart."""


def answer(report: Mapping[str, Any]) -> list[str]:
    """Sentences, the main one first."""
    losses = [report["arms"].get(name, {}).get("heldout_loss") for name in ARMS]
    if None in losses:
        return ["Not all arms have been trained and evaluated yet: there is no answer."]
    gains = report["gains"]
    sentences = [_headline(gain) for gain in (gains.get("accuracy"), gains["loss"]) if gain]
    shown = [gain for gain in (gains.get("accuracy"), gains["loss"]) if gain and (gain["efficiency"]["low"] or 0) > 1]
    sentences += [_worth(gain) for gain in shown[:1]]
    if gains["loss"]["sbp"]["value"] is not None:
        sentences.append(
            f"On the held-out documents SBP is {_compared(gains['loss']['sbp'])}, and the oracle is "
            f"{_compared(gains['loss']['oracle'])}."
        )
    sentences += [*_cost(report), *_uncertainty(report)]
    size = report["arms"]["sbp"]["parameters"]
    if size < SMALL:
        sentences.append(
            f"At {size / 1e6:.1f} million parameters the synthesizer writes poor text: this run shows that the "
            "pipeline works, not what synthesis is worth."
        )
    return sentences


def _headline(gain: Mapping[str, Any]) -> str:
    value, low = gain["share"]["value"], gain["share"]["low"]
    if value is None:
        return gain["why"]
    if low is None and gain["oracle"]["low"] is not None:
        return f"{gain['why'].partition('.')[0]}: SBP comes to {value:.0%}."
    if value <= 0:
        return f"SBP closes none of the oracle's gain in {gain['of']}: the share comes to {share(gain['share'])}."
    if low is not None and low <= 0:
        return f"That SBP closes any of the oracle's gain in {gain['of']} is not shown: {share(gain['share'])}."
    return f"SBP closes {share(gain['share'])} of the oracle's gain in {gain['of']}."


def _worth(gain: Mapping[str, Any]) -> str:
    return (
        f"That is worth {times(gain['efficiency'])} the baseline's unique real tokens, if {gain['of']} "
        "goes with their logarithm between the baseline and the oracle."
    )


def _compared(difference: Mapping[str, Any]) -> str:
    value = difference["value"]
    if abs(value) < LEVEL:
        return "level with the baseline"
    better = value < 0
    ends = {"low": difference["low"], "high": difference["high"]}
    if better and ends["low"] is not None:
        ends = {"low": -ends["high"], "high": -ends["low"]}
    told = interval(ends, digits=4)
    return f"{'better' if better else 'worse'} than the baseline by {abs(value):.4f} nats per token" + (
        f" (95%: {told})" if told else ""
    )


def _cost(report: Mapping[str, Any]) -> Iterator[str]:
    compute = report["compute"]
    if not compute or compute["arms"]["sbp"]["times"] is None:
        return
    yield (
        f"The arms match in trained tokens. In all compute SBP takes {compute['arms']['sbp']['times']:.2f} times the "
        "baseline's."
    )
    longer = compute["longer"] and report["arms"][compute["longer"]]
    if longer and longer["heldout_loss"] is not None:
        difference = report["arms"]["sbp"]["heldout_loss"] - longer["heldout_loss"]
        yield (
            f"A baseline trained for all that compute has a held-out loss of {longer['heldout_loss']:.4f}: against it "
            f"SBP is {'better' if difference < 0 else 'worse'} by {abs(difference):.4f}."
        )


def _uncertainty(report: Mapping[str, Any]) -> Iterator[str]:
    known = any(gain["sbp"]["low"] is not None for gain in report["gains"].values())
    seeds = len(report["seeds"])
    if not known:
        yield "How sure this is, is not known: one seed was run, and nothing is known of single items."
    elif seeds == 1:
        yield (
            "Intervals hold 95% of what other held-out text and other questions would give. One seed was run of each "
            "arm: what another seed would give is not in them."
        )
    else:
        yield (
            f"Intervals hold 95% over {seeds} seeds and over held-out text and questions, drawn again together. With "
            "so few seeds they are rather too narrow."
        )
