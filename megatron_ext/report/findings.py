"""What was found: the share of the oracle's gain that SBP reaches, in loss and in accuracy, and what data it is worth.

The share is (baseline - SBP) / (baseline - oracle) of held-out losses, and (SBP - baseline) / (oracle - baseline) of
mean accuracies. Data efficiency is told from it: between the baseline's unique real tokens and the oracle's the loss is
taken to fall in proportion to their logarithm, so a share s is worth (oracle's / baseline's)^s times the real data.

Source: Synthetic Bootstrapped Pretraining, section 4.1: the share, of accuracies. That gains grow with the logarithm of
the data is said there in section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from megatron_ext.report.arms import Arm
from megatron_ext.report.paper import AVERAGE, ROWS, SCALES, Row
from megatron_ext.report.scores import HELDOUT, Score
from megatron_ext.report.uncertainty import Estimate, Means, averaged, resampled

ARMS = ("baseline", "sbp", "oracle")
BASELINE, SBP, ORACLE = range(3)


@dataclass(frozen=True)
class Seeds:
    """The arms of the same experiment with each of its seeds."""

    arms: Mapping[str, Mapping[str, Arm]]
    """Seed -> arm -> what is known of it."""

    def loss(self, name: str) -> float | None:
        """Held-out loss of an arm, the mean over its seeds; None if one is not known."""
        losses = [arms[name].numbers["heldout_loss"] if name in arms else None for arms in self.arms.values()]
        return None if None in losses else fmean(losses)

    def scores(self, name: str) -> list[list[Score]] | None:
        """Of a benchmark, by arm and seed; None if one is missing, or was measured in another way."""
        found = [[arms[arm].scores.get(name) if arm in arms else None for arms in self.arms.values()] for arm in ARMS]
        flat = [score for of_arm in found for score in of_arm]
        if None in flat or len({repr(sorted(score.identity.items())) for score in flat if score}) > 1:
            return None
        return [[score for score in of_arm if score] for of_arm in found]

    def names(self) -> list[str]:
        """Of everything that any arm was measured by, held-out text first."""
        names = {name for arms in self.arms.values() for arm in arms.values() for name in arm.scores}
        order = [HELDOUT, *ROWS]
        return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def gains(seeds: Seeds) -> dict[str, Any]:
    """By "loss" and "accuracy": {"share", "efficiency", "sbp", "oracle": {"value", "low", "high"}, "why", "of"}.

    "sbp" and "oracle" are differences to the baseline. An end that is not known is None, a share that is not, too.
    """
    loss = seeds.scores(HELDOUT)
    found = {"loss": _gain(seeds, _means(loss) if loss else None, _why_no_loss(seeds), sign=-1)}
    found["loss"]["of"] = "held-out loss, nats per token"
    accuracy = _accuracies(seeds)
    if accuracy:
        means = averaged([_means(scores) for scores in accuracy.values()])
        found["accuracy"] = _gain(seeds, means, "", sign=1)
        found["accuracy"]["of"] = f"mean accuracy over {', '.join(accuracy)}"
    return found


def benchmark_rows(seeds: Seeds) -> list[dict[str, Any]]:
    """The table of benchmarks, in the paper's layout: of each the baseline's figure and the other arms' differences.

    Returns:
        Rows of {"name", "title", "kind", "items", "baseline", "sbp", "oracle", "paper"}; accuracies are shares, and
        arms that were not measured alike stand as plain figures, without differences, under "plain".
    """
    rows = []
    for name in seeds.names():
        row = ROWS.get(name)
        scores = seeds.scores(name)
        any_score = next(
            arm.scores[name] for arms in seeds.arms.values() for arm in arms.values() if name in arm.scores
        )
        title = row.title if row else "Held-out text" if name == HELDOUT else name
        found = {
            "name": name,
            "title": title,
            "kind": any_score.kind,
            "items": any_score.items,
            "paper": _of_paper(row),
        }
        if scores:
            rows.append(
                found | _figures(_perplexities(_means(scores)) if any_score.kind == "perplexity" else _means(scores))
            )
        else:
            rows.append(found | {"plain": _plain(seeds, name)})
    accuracy = _accuracies(seeds)
    if len(accuracy) > 1:
        means = averaged([_means(scores) for scores in accuracy.values()])
        same = set(accuracy) == {name for name, row in ROWS.items() if row.kind == "accuracy"}
        rows.append({
            "name": "average", "title": AVERAGE.title, "kind": "accuracy",
            "items": sum(scores[0][0].items for scores in accuracy.values()),
            "paper": _of_paper(AVERAGE if same else None), **_figures(means),
        })  # fmt: skip
    return rows


def _accuracies(seeds: Seeds) -> dict[str, list[list[Score]]]:
    found = {name: scores for name in seeds.names() if (scores := seeds.scores(name))}
    return {name: scores for name, scores in found.items() if scores[0][0].kind == "accuracy"}


def _means(scores: Sequence[Sequence[Score]]) -> Means:
    """Over items; without them, the figures alone. Of perplexities, the losses."""
    first = scores[0][0]
    sizes = {len(score.values_I) for of_arm in scores for score in of_arm}
    if sizes == {0} or len(sizes) > 1:
        values = [
            [np.log(score.value) if first.kind == "perplexity" else score.value for score in of_arm]
            for of_arm in scores
        ]
        return resampled(np.array(values)[:, :, None], np.ones(1), name=first.name)
    return resampled(
        np.array([[score.values_I for score in of_arm] for of_arm in scores]), first.weights_I, name=first.name
    )


def _perplexities(losses: Means) -> Means:
    return Means(np.exp(losses.value_A), None if losses.draws_DA is None else np.exp(losses.draws_DA))


def _figures(means: Means) -> dict[str, Any]:
    return {
        "baseline": asdict(means.of(BASELINE)), "sbp": asdict(means.difference(SBP, BASELINE)),
        "oracle": asdict(means.difference(ORACLE, BASELINE)),
    }  # fmt: skip


def _plain(seeds: Seeds, name: str) -> dict[str, float]:
    first = next(iter(seeds.arms.values()))
    return {arm: found.scores[name].value for arm, found in first.items() if name in found.scores}


def _of_paper(row: Row | None) -> dict[str, list[float]] | None:
    return row and dict(zip(SCALES, (list(row.at_200b), list(row.at_1t)), strict=True))


def _gain(seeds: Seeds, means: Means | None, why: str, *, sign: int) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "share": _told(None),
        "efficiency": _told(None),
        "sbp": _told(None),
        "oracle": _told(None),
    }
    if means is None:
        return nothing | {"why": why}
    known = {"sbp": _told(means.difference(SBP, BASELINE)), "oracle": _told(means.difference(ORACLE, BASELINE))}
    if sign * known["oracle"]["value"] <= 0:
        return nothing | known | {
            "why": "The oracle is not better than the baseline, so there is no gain to take a share of."
        }  # fmt: skip
    share = means.share(BASELINE, SBP, ORACLE)
    efficiency, why = _efficiency(seeds, share)
    if share.low is None and means.draws_DA is not None:
        why = "The oracle's own gain may be none, so how sure the share is can't be told. " + why
    return known | {"share": _told(share), "efficiency": _told(efficiency), "why": why.strip()}


def _efficiency(seeds: Seeds, share: Estimate) -> tuple[Estimate | None, str]:
    """Times the baseline's real data; the share's ends are its own."""
    arms = next(iter(seeds.arms.values()))
    real = {
        name: sum(s["unique"] for n, s in arms[name].numbers["sources"].items() if n != "synthetic")
        for name in ("baseline", "oracle")
    }
    ratio = real["oracle"] / max(1, real["baseline"])
    if ratio <= 1:
        return None, "The oracle read no more unique real tokens than the baseline, so data efficiency has no scale."
    ends = [None if end is None else float(ratio**end) for end in (share.value, share.low, share.high)]
    return Estimate(ends[0] or 0.0, ends[1], ends[2]), ""


def _why_no_loss(seeds: Seeds) -> str:
    for arms in seeds.arms.values():
        if any(name not in arms or HELDOUT not in arms[name].scores for name in ARMS):
            return "An arm has not been evaluated."
    return "The arms were evaluated on different held-out text, so their losses do not compare."


def _told(estimate: Estimate | None) -> dict[str, float | None]:
    return asdict(estimate) if estimate else {"value": None, "low": None, "high": None}
