"""How often, and how far apart, a run will show the content of each source document, told before it is trained.

What was made of a document tells what the document tells, so its rephrasings, questions, thoughts and megadocs show it
too: each kind is counted by itself, all synthetic ones together, and all together. The order of the run is undone and
never scanned (plan/inverse.py): a document's place in each epoch of each source leads to a step.

Up to `most` source documents are answered exactly; of more of them so many are drawn uniformly, and shares get an
interval. Passages of a `knowledge:` section have their schedule, and are answered beside the documents.

No torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.corpus.groups import KINDS
from megatron_ext.config import RunConfig
from megatron_ext.data.facts import read_facts
from megatron_ext.data.finding import corpora_of, find
from megatron_ext.data.sources import Source, open_sources
from megatron_ext.knowledge.ancestry import Ancestry, fingerprint_of
from megatron_ext.knowledge.spacing import Spacing, figures, verdict, worst_first
from megatron_ext.knowledge.threshold import Threshold
from megatron_ext.plan.inverse import NOWHERE, InversePlan
from megatron_ext.plan.samples import SamplePlan

MOST = 20_000
"""Source documents that are looked at."""
LISTED = 20
"""Documents that are listed by name."""
TOGETHER, SYNTHETIC, NO_GROUP = "together", "all synthetic", "not shown"
"""What all kinds are counted under, all but the real one, and passages of no group."""

Progress = Callable[[int, int], None]


def intervals(
    config: RunConfig,
    *,
    seeds: Sequence[Path] = (),
    most: int = MOST,
    threshold: Threshold | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Work it out.

    Args:
        config: the run.
        seeds: folders of corpora that it does not read, and others that it reads were made of.
        most: source documents to look at.
        threshold: of what is learnt; None: no verdict.
        progress: called with the readings of sources that are done, and all.

    Returns:
        steps, tokens, tokens_per_step of the run; threshold: {"steps", "origin", "tokens_per_step"}, or null;
        documents: in_all, looked_at, exact;
        kinds: kind -> what `figures` gives, and "verdict" where there is a threshold; the last is TOGETHER;
        worst: the documents shown most rarely, as [{"corpus", "name", "showings", "interval", "longest", "kinds"}];
        facts: the same as `kinds` for each group of the `knowledge:` section, or null.

    Raises:
        InputError: the run can't be planned, or a corpus was made of one that is neither read nor named.
    """
    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    inverse = InversePlan(plan)
    corpora = [corpus for source in sources.values() for corpus in corpora_of(source)]
    family = Ancestry(corpora, seeds, most=most, seed=config.seed)
    things, kinds, steps = _showings(sources, family, inverse, progress)

    def spaced(chosen: np.ndarray) -> Spacing:
        return Spacing.of(
            things[chosen], steps[chosen], count=len(family.chosen), tokens_before=inverse.tokens_before
        )  # fmt: skip

    by_kind = {kind: spaced(kinds == KINDS[kind]) for kind in family.kinds}
    made = [kind for kind in family.kinds if kind != "real"]
    if len(made) > 1 and made != family.kinds:
        by_kind[SYNTHETIC] = spaced(kinds != KINDS["real"])
    by_kind[TOGETHER] = spaced(np.ones(len(kinds), dtype=bool))

    def judged(spacing: Spacing, *, exact: bool) -> dict[str, Any]:
        judgement = threshold and verdict(spacing, threshold.steps, steps=plan.steps, exact=exact)
        return figures(spacing) | {"verdict": judgement}

    facts = _facts(config, inverse)
    return {
        "steps": plan.steps, "tokens": config.tokens, "tokens_per_step": config.batch.tokens_per_step,
        "threshold": threshold and asdict(threshold),
        "documents": {"in_all": family.in_all, "looked_at": len(family.chosen), "exact": family.exact},
        "kinds": {kind: judged(spacing, exact=family.exact) for kind, spacing in by_kind.items()},
        "worst": _worst(family, by_kind),
        "facts": facts and {group: judged(spacing, exact=True) for group, spacing in facts.items()},
    }  # fmt: skip


def _showings(
    sources: Mapping[str, Source], family: Ancestry, inverse: InversePlan, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(chosen source document, number of the kind, step) of every showing in the run."""
    things, kinds, steps = ([np.empty(0, dtype=np.int64)] for _ in range(3))
    readings = {name: inverse.epochs(name) for name in sources}
    done = 0
    for name, source in sources.items():
        fingerprints = [fingerprint_of(corpus) for corpus in corpora_of(source)]
        wanted = [family.made_of_chosen(fingerprint) for fingerprint in fingerprints]
        places = find(name, source, [chosen.documents for chosen in wanted], inverse)
        roots, of_kinds = np.empty(len(places.item), dtype=np.int64), np.empty(len(places.item), dtype=np.int64)
        for number, (fingerprint, chosen) in enumerate(zip(fingerprints, wanted, strict=True)):
            here = places.corpus == number
            roots[here] = chosen.roots[places.item[here]]
            of_kinds[here] = KINDS[family.corpora[fingerprint].kind]
        for epoch in readings[name]:
            samples = places.samples(epoch)
            read = samples != NOWHERE
            things.append(roots[read])
            kinds.append(of_kinds[read])
            steps.append(inverse.steps_of(samples[read]))
            done += 1
            if progress:
                progress(done, sum(map(len, readings.values())))
    return np.concatenate(things), np.concatenate(kinds), np.concatenate(steps)


def _worst(family: Ancestry, by_kind: Mapping[str, Spacing]) -> list[dict[str, Any]]:
    spacing, rows = by_kind[TOGETHER], []
    for item in worst_first(spacing)[:LISTED].tolist():
        corpus, name = family.name_of(item)
        showings = int(spacing.showings[item])
        row = {"corpus": corpus, "name": name, "showings": showings, "interval": None, "longest": None}
        if showings > 1:
            row |= {"interval": float(spacing.interval[item]), "longest": int(spacing.longest[item])}
        rows.append(row | {"kinds": {kind: int(by_kind[kind].showings[item]) for kind in family.kinds}})
    return rows


def _facts(config: RunConfig, inverse: InversePlan) -> dict[str, Spacing] | None:
    """Group -> spacing of its passages."""
    knowledge = config.knowledge
    if knowledge is None:
        return None
    groups, shown = knowledge.group_of, knowledge.shown
    grouped: dict[str, list[tuple[int, ...]]] = {group: [] for group in (*groups.values(), NO_GROUP)}
    for passage in read_facts(knowledge.facts).passages:
        grouped[groups.get(passage.number, NO_GROUP)].append(shown.get(passage.number, ()))
    spaced = {}
    for group, schedules in ((group, schedules) for group, schedules in grouped.items() if schedules):
        things = np.repeat(np.arange(len(schedules)), [len(steps) for steps in schedules])
        steps = np.array([step for steps in schedules for step in steps], dtype=np.int64)
        spaced[group] = Spacing.of(things, steps, count=len(schedules), tokens_before=inverse.tokens_before)
    return spaced
