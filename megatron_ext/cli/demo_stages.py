"""The stages of the demo, in their order: each calls one step of data_tools, or starts the ranks of a training.

Every stage leaves a folder with a manifest, and returns a line that says what is in it. Called again, it finds its
folder finished if that was made from the same inputs and settings.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import Manifest, is_finished, read_manifest
from data_tools.errors import EndedEarly
from data_tools.files import remove_artifact
from data_tools.workers import OthersAtWork
from launch.graph import Stage
from megatron_ext.cli import demo_judging as judging
from megatron_ext.cli.demo_runs import LONGER, Demo, write_run_file
from megatron_ext.cli.local import run_ranks
from megatron_ext.cli.output import Progress
from megatron_ext.config import ExperimentConfig, RunConfig, as_dict, load_run


def _clean(demo: Demo) -> str:
    from data_tools.steps.clean import clean

    counts = clean(demo.config.corpus, demo.at("clean"), replace=True, crew=demo.crew).counts
    return _counted(counts)


def _split(demo: Demo) -> str:
    from data_tools.steps.split import split

    data = demo.config.data
    return _counted(
        split(
            demo.at("clean"), demo.at("split"), heldout_share=data.heldout_share, subset_share=data.subset_share,
            seed=demo.config.seed, replace=True, crew=demo.crew,
        ).counts
    )  # fmt: skip


def _tokenizer(demo: Demo) -> str:
    from data_tools.text.training import train_tokenizer

    data = demo.config.data
    return _counted(
        train_tokenizer(
            [demo.at("split") / "train"], demo.at("tokenizer"), vocabulary=data.vocabulary, share=data.tokenizer_share,
            replace=True,
        ).counts
    )  # fmt: skip


def _corpora(demo: Demo) -> str:
    """All documents but the held-out ones, the subset, and the held-out ones, tokenized."""
    counts, left = {}, None
    for name, part in (("corpus_all", "train"), ("corpus_subset", "subset"), ("corpus_heldout", "heldout")):
        try:
            counts[name] = _tokenize(demo, demo.at("split") / part, name).counts["tokens"]
        except OthersAtWork as others:  # a task of an array does its share of all three before it leaves
            left = others
    if left is not None:
        raise left
    return ", ".join(f"{name} {tokens:,} tokens" for name, tokens in counts.items())


def _tokenize(demo: Demo, documents: Path, name: str) -> Manifest:
    from data_tools.steps.tokenize import tokenize

    longest = demo.config.data.max_tokens
    return tokenize([documents], demo.at("tokenizer"), demo.at(name), max_tokens=longest, replace=True, crew=demo.crew)


def _embeddings(demo: Demo) -> str:
    from data_tools.steps.embed import embed

    with Progress("embedding", unit="documents") as progress:
        manifest = embed(
            demo.at("corpus_subset"), demo.at("embeddings"), model=demo.config.pairing.embedding_model, replace=True,
            crew=demo.crew, progress=progress.update,
        )  # fmt: skip
    return _counted(manifest.counts)


def _neighbors(demo: Demo) -> str:
    from data_tools.steps.neighbors import neighbors

    top_k, crew = demo.config.pairing.top_k, demo.crew
    return _counted(neighbors(demo.at("embeddings"), demo.at("neighbors"), top_k=top_k, replace=True, crew=crew).counts)


def _pairs(demo: Demo) -> str:
    from data_tools.steps.pairs import pairs

    pairing = demo.config.pairing
    manifest = pairs(
        demo.at("corpus_subset"), demo.at("neighbors"), demo.at("pairs"),
        min_similarity=pairing.min_similarity, shingle=pairing.shingle,
        max_tokens=demo.config.tuning.batch.sequence_length, replace=True, crew=demo.crew,
    )  # fmt: skip
    return _counted(manifest.counts)


def _baseline(demo: Demo) -> str:
    return _train(demo, "baseline", "arms/baseline")


def _synthesizer(demo: Demo) -> str:
    return _train(demo, "synthesizer", "synthesizer")


def _synthesis(demo: Demo) -> str:
    settings = demo.config.synthesis
    return _counted(
        judging.synthesize_into(
            demo, demo.at("corpus_synthetic"), documents=settings.documents, budget_tokens=settings.budget_tokens
        )
    )


def _sbp(demo: Demo) -> str:
    return _train(demo, "sbp", "arms/sbp")


def _oracle(demo: Demo) -> str:
    return _train(demo, "oracle", "arms/oracle")


def _longer(demo: Demo) -> str:
    return _train(demo, "longer", f"arms/{LONGER}")


def _train(demo: Demo, stage: str, name: str) -> str:
    folder = demo.at(name)
    run_file = write_run_file(demo, stage, demo.at(f"configs/{stage}.yaml"))
    config = load_run(run_file)
    if not _is_this_run(folder, config):
        remove_artifact(folder)
    if not is_finished(folder):
        arguments = ["train", str(run_file), "--output", str(folder)]
        if run_ranks(arguments, processes=demo.config.processes):
            raise EndedEarly(f"{name} failed; the lines above say why. The same command goes on from its checkpoint.")
    if not is_finished(folder):
        raise EndedEarly(f"{name} was stopped by a signal. The same command goes on from its checkpoint.")
    return _counted(read_manifest(folder).counts)


def _is_this_run(folder: Path, config: RunConfig) -> bool:
    """Whether what lies in the run's folder, finished or not, is this run on these inputs."""
    from megatron_ext.training.preflight import PLAN, input_hashes

    recorded = folder / "config.json"
    if not recorded.exists() or json.loads(recorded.read_text()) != as_dict(config):
        return False
    return json.loads((folder / PLAN).read_text()).get("inputs") == input_hashes(config)


def _counted(counts: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in counts.items()
        if not isinstance(value, dict)
    )


STAGES: dict[str, tuple[Callable[[Demo], str], Stage]] = {
    "clean": (_clean, Stage("normalise the documents and drop what can't be used", parted=True)),
    "split": (_split, Stage("hold out documents, choose the baseline's subset", ("clean",), parted=True)),
    "tokenizer": (_tokenizer, Stage("train a SentencePiece BPE", ("split",))),
    "corpora": (
        _corpora,
        Stage(
            "write the indexed corpora", ("tokenizer",), parted=True,
            outputs=("corpus_all", "corpus_subset", "corpus_heldout"),
        ),
    ),
    "embeddings": (_embeddings, Stage("embed the subset's documents", ("corpora",), takes="gpu", parted=True)),
    "neighbors": (_neighbors, Stage("find each document's neighbours", ("embeddings",), parted=True)),
    "pairs": (
        _pairs, Stage("keep related pairs that are not near-duplicates", ("neighbors",), parted=True),
    ),
    "baseline": (
        _baseline, Stage("pretrain on the subset, repeated", ("corpora",), takes="run", outputs=("arms/baseline",)),
    ),
    "synthesizer": (_synthesizer, Stage("tune the baseline on d2 given d1", ("baseline", "pairs"), takes="run")),
    "mideval": (
        judging.mideval,
        Stage(
            "measure a small synthesis: go or no go", ("synthesizer",), takes="gpu", outputs=("mideval/go",),
            kept=("mideval/corpus", "mideval/corpus.ledger", "mideval/quality", "mideval/quality.ledger"),
        ),
    ),
    "synthesis": (
        _synthesis,
        Stage(
            "sample new documents from drawn ones", ("synthesizer", "mideval"), takes="gpu", parted=True,
            outputs=("corpus_synthetic",), kept=("corpus_synthetic.ledger",),
        ),
    ),
    "sbp": (
        _sbp,
        Stage(
            "pretrain on real documents repeated and synthetic ones once", ("synthesis",), takes="run",
            outputs=("arms/sbp",),
        ),
    ),
    "oracle": (_oracle, Stage("pretrain on all documents", ("corpora",), takes="run", outputs=("arms/oracle",))),
    "longer": (
        _longer, Stage(
            "pretrain on the subset for all the compute that SBP takes", ("synthesis",), takes="run",
            outputs=(f"arms/{LONGER}",),
        ),
    ),
    "quality": (
        judging.quality,
        Stage("measure the synthetic documents", ("synthesis",), takes="gpu", parted=True, kept=("quality.ledger",)),
    ),
    "evaluation": (
        judging.evaluation, Stage("ask each arm", ("sbp", "baseline", "oracle", "longer"), takes="node"),
    ),
    "report": (judging.report, Stage("write the page", ("evaluation", "quality"), outputs=("report.html",))),
}  # fmt: skip
"""Name -> what it does, and what it is: in an order in which each comes after what it needs."""


def stages_of(config: ExperimentConfig) -> dict[str, Stage]:
    """The stages that an experiment has: some are there only if it asks for them."""
    wanted = {"mideval": config.mideval is not None, "longer": config.flops_matched}
    local_judge = config.quality.judge is not None and config.quality.judge.folder is not None
    stages = {name: stage for name, (_, stage) in STAGES.items() if wanted.get(name, True)}
    if not local_judge:  # rules, and the answers of a server, take no GPU
        stages["quality"] = replace(stages["quality"], takes="cpus")
    return {
        name: replace(stage, needs=tuple(need for need in stage.needs if need in stages))
        for name, stage in stages.items()
    }


def artifacts_of(config: ExperimentConfig) -> list[str]:
    """What an experiment leaves in its folder: whatever has a manifest."""
    made = (path for name, stage in stages_of(config).items() for path in stage.made_by(name))
    return [path for path in made if not path.endswith(".html")]
