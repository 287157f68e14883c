"""What was found: the share of the oracle's gain that SBP reaches, in loss and in accuracy, and what data it is worth.

The share is (baseline - SBP) / (baseline - oracle) of held-out losses, and of mean accuracies alike. Data efficiency is
told from it: between the baseline's unique real tokens and the oracle's the figure is taken to go with their logarithm,
so a share s is worth (oracle's / baseline's)^s times the real data.

Source: Synthetic Bootstrapped Pretraining, section 4.1: the share, of accuracies; section 3: that gains go with the
logarithm of the data.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from megatron_ext.report.paper import AVERAGE, ROWS, SCALES, Row
from megatron_ext.report.scores import HELDOUT
from megatron_ext.report.seeds import ARMS, BASELINE, ORACLE, SBP, Seeds
from megatron_ext.report.uncertainty import Estimate, Means, averaged

LOSS, ACCURACY = "held-out loss", "mean accuracy"
NO_GAIN = "In {} the oracle is not better than the baseline, so there is no gain to take a share of."
UNSURE_GAIN = "The oracle's own gain in {} may be none, so a share of it says little."
NO_SCALE = "The oracle read no more unique real tokens than the baseline, so data efficiency has no scale."


def gains(seeds: Seeds) -> dict[str, Any]:
    """By "loss", and "accuracy" if there is any: {"share", "efficiency", "sbp", "oracle", "why", "of", "over"}.

    The first four are {"value", "low", "high"}, None where not known; "sbp" and "oracle" are differences to the
    baseline, in nats per token or as shares. "why" says what is not known and why, "of" and "over" what was measured.
    """
    found = {"loss": _unknown(_why_no_loss(seeds)) | {"of": LOSS, "over": [HELDOUT]}}
    if HELDOUT in seeds.means:
        found["loss"] |= _gain(seeds, seeds.means[HELDOUT], of=LOSS, better=-1)
    if accuracies := seeds.accuracies():
        gain = _gain(seeds, averaged(list(accuracies.values())), of=ACCURACY, better=1)
        found["accuracy"] = gain | {"of": ACCURACY, "over": list(accuracies)}
    return found


def benchmark_rows(seeds: Seeds) -> list[dict[str, Any]]:
    """The table of benchmarks, in the paper's layout: of each the baseline's figure and the other arms' differences.

    Returns:
        Rows of {"name", "title", "kind", "items", "paper", "baseline", "sbp", "oracle"}; accuracies are shares. Where
        arms were not measured alike, their figures stand under "plain", without differences.
    """
    rows = [_row(seeds, name) for name in seeds.scores]
    accuracies = seeds.accuracies()
    if len(accuracies) > 1:
        same = set(accuracies) == {name for name, row in ROWS.items() if row.kind == "accuracy"}
        rows.append({
            "name": "average", "title": AVERAGE.title, "kind": "accuracy",
            "items": sum(seeds.scores[name].items for name in accuracies),
            "paper": _of_paper(AVERAGE if same else None), **_figures(averaged(list(accuracies.values()))),
        })  # fmt: skip
    return rows


def _row(seeds: Seeds, name: str) -> dict[str, Any]:
    score, theirs = seeds.scores[name], ROWS.get(name)
    title = theirs.title if theirs else "Held-out text" if name == HELDOUT else name
    row = {"name": name, "title": title, "kind": score.kind, "items": score.items, "paper": _of_paper(theirs)}
    if name not in seeds.means:
        return row | {
            "plain": {arm: found.scores[name].value for arm, found in seeds.first.items() if name in found.scores}
        }
    means = seeds.means[name]
    return row | _figures(_exponentials(means) if score.kind == "perplexity" else means)


def _exponentials(losses: Means) -> Means:
    return Means(np.exp(losses.value_A), None if losses.draws_DA is None else np.exp(losses.draws_DA))


def _figures(means: Means) -> dict[str, Any]:
    return {
        "baseline": _told(means.of(BASELINE)), "sbp": _told(means.difference(SBP, BASELINE)),
        "oracle": _told(means.difference(ORACLE, BASELINE)),
    }  # fmt: skip


def _of_paper(row: Row | None) -> dict[str, list[float]] | None:
    return row and dict(zip(SCALES, (list(row.at_200b), list(row.at_1t)), strict=True))


def _gain(seeds: Seeds, means: Means, *, of: str, better: int) -> dict[str, Any]:
    """`better`: the sign of a difference that is one."""
    known = {"sbp": _told(means.difference(SBP, BASELINE)), "oracle": _told(means.difference(ORACLE, BASELINE))}
    if better * (known["oracle"]["value"] or 0.0) <= 0:
        return _unknown(NO_GAIN.format(of)) | known
    share = means.share(BASELINE, SBP, ORACLE)
    efficiency = _efficiency(seeds, share)
    unknown = {
        UNSURE_GAIN.format(of): share.low is None and means.draws_DA is not None,
        NO_SCALE: efficiency is None,
    }
    why = " ".join(sentence for sentence, holds in unknown.items() if holds)
    return known | {"share": _told(share), "efficiency": _told(efficiency), "why": why}


def _efficiency(seeds: Seeds, share: Estimate) -> Estimate | None:
    """Times the baseline's real data; the share's ends are its own."""
    baseline, oracle = (_real_tokens(seeds, name) for name in (ARMS[BASELINE], ARMS[ORACLE]))
    if oracle <= baseline:
        return None
    scale = oracle / baseline
    low, high = (None if end is None else scale**end for end in (share.low, share.high))
    return Estimate(scale**share.value, low, high)


def _real_tokens(seeds: Seeds, name: str) -> int:
    """Unique ones that an arm read."""
    sources = seeds.first[name].numbers["sources"]
    return max(1, sum(source["unique"] for kind, source in sources.items() if kind != "synthetic"))


def _why_no_loss(seeds: Seeds) -> str:
    for arms in seeds.arms.values():
        if any(name not in arms or HELDOUT not in arms[name].scores for name in ARMS):
            return "An arm has not been evaluated."
    return "The arms were evaluated on different held-out text, so their losses do not compare."


def _unknown(why: str) -> dict[str, Any]:
    return {figure: _told(None) for figure in ("share", "efficiency", "sbp", "oracle")} | {"why": why}


def _told(estimate: Estimate | None) -> dict[str, float | None]:
    return asdict(estimate) if estimate else {"value": None, "low": None, "high": None}
