"""The stages of the demo, in their order: each calls one step of data_tools, or starts the ranks of a training.

Every stage leaves a folder with a manifest, and returns a line that says what is in it. Called again, it finds its
folder finished if that was made from the same inputs and settings.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_tools.corpus.manifest import Manifest, is_finished, read_manifest, run_step
from data_tools.errors import InputError
from data_tools.files import remove_artifact, write_whole
from megatron_ext.cli.local import run_ranks
from megatron_ext.cli.output import Progress
from megatron_ext.config import ExperimentConfig, RunConfig, as_dict, load_run

SYNTHETIC_SHARE = 0.375
"""Most of the SBP arm's budget that is synthetic: 75B of 200B tokens in the paper."""


class RunFailed(Exception):
    """A stage's own processes ended badly; what they printed says why."""


@dataclass(frozen=True)
class Demo:
    """The stages' common ground."""

    config: ExperimentConfig
    folder: Path

    def at(self, name: str) -> Path:
        return self.folder / name


def _clean(demo: Demo) -> str:
    from data_tools.steps.clean import clean

    counts = clean(demo.config.corpus, demo.at("clean"), replace=True).counts
    return _counted(counts)


def _split(demo: Demo) -> str:
    from data_tools.steps.split import split

    data = demo.config.data
    return _counted(
        split(
            demo.at("clean"), demo.at("split"), heldout_share=data.heldout_share, subset_share=data.subset_share,
            seed=demo.config.seed, replace=True,
        ).counts
    )  # fmt: skip


def _tokenizer(demo: Demo) -> str:
    from data_tools.text.training import train_tokenizer

    documents = [demo.at("split") / "train"]
    vocabulary = demo.config.data.vocabulary
    return _counted(train_tokenizer(documents, demo.at("tokenizer"), vocabulary=vocabulary, replace=True).counts)


def _corpora(demo: Demo) -> str:
    """All documents but the held-out ones, the subset, and the held-out ones, tokenized."""
    counts = {}
    for name, part in (("corpus_all", "train"), ("corpus_subset", "subset"), ("corpus_heldout", "heldout")):
        counts[name] = _tokenize(demo, demo.at("split") / part, name).counts["tokens"]
    return ", ".join(f"{name} {tokens:,} tokens" for name, tokens in counts.items())


def _tokenize(demo: Demo, documents: Path, name: str) -> Manifest:
    from data_tools.steps.tokenize import tokenize

    longest = demo.config.data.max_tokens
    return tokenize([documents], demo.at("tokenizer"), demo.at(name), max_tokens=longest, replace=True)


def _embeddings(demo: Demo) -> str:
    from data_tools.steps.embed import embed

    with Progress("embedding", unit="documents") as progress:
        manifest = embed(
            demo.at("corpus_subset"), demo.at("embeddings"), model=demo.config.pairing.embedding_model, replace=True,
            progress=progress.update,
        )  # fmt: skip
    return _counted(manifest.counts)


def _neighbors(demo: Demo) -> str:
    from data_tools.steps.neighbors import neighbors

    top_k = demo.config.pairing.top_k
    return _counted(neighbors(demo.at("embeddings"), demo.at("neighbors"), top_k=top_k, replace=True).counts)


def _pairs(demo: Demo) -> str:
    from data_tools.steps.pairs import pairs

    pairing = demo.config.pairing
    manifest = pairs(
        demo.at("corpus_subset"), demo.at("neighbors"), demo.at("pairs"),
        min_similarity=pairing.min_similarity, shingle=pairing.shingle,
        max_tokens=demo.config.tuning.batch.sequence_length, replace=True,
    )  # fmt: skip
    return _counted(manifest.counts)


def _baseline(demo: Demo) -> str:
    real = {"corpus": demo.at("corpus_subset"), "tokens": demo.config.budget_tokens}
    return _train(demo, "arms/baseline", _arm(demo, {"real": real}))


def _synthesizer(demo: Demo) -> str:
    tuning = demo.config.tuning
    source = {
        "corpus": demo.at("corpus_subset"), "pairs": demo.at("pairs"), "kind": "pairs", "tokens": tuning.tokens,
    }  # fmt: skip
    settings = _arm(demo, {"pairs": source}) | {
        "batch": as_dict(tuning.batch),
        "schedule": {
            "peak_lr": tuning.learning_rate, "end_lr": tuning.learning_rate, "warmup": 0.0, "decay": "constant",
        },
        "init_from": str(demo.at("arms/baseline").resolve()),
    }  # fmt: skip
    return _train(demo, "synthesizer", settings)


def _synthesis(demo: Demo) -> str:
    from data_tools.synthesis.engines.choice import EngineChoice
    from data_tools.synthesis.filters import Filters
    from data_tools.synthesis.recipes.sbp import SBP
    from data_tools.synthesis.requests import Sampling
    from data_tools.synthesis.run import synthesize
    from megatron_ext.cli.synthesizer import engine_model

    settings, corpus = demo.config.synthesis, demo.at("corpus_subset")
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_new_tokens)
    engine = EngineChoice(model=engine_model(str(demo.at("synthesizer")), corpus), batch=settings.batch)
    with Progress("synthesis", unit="seeds") as progress:
        manifest = synthesize(
            corpus, demo.at("corpus_synthetic"), recipe=SBP(variants=settings.variants, sampling=sampling),
            engine=engine, filters=Filters.of("sbp", shingle=settings.shingle), documents=settings.documents,
            seed=demo.config.seed, replace=True, progress=progress.update,
        )  # fmt: skip
    return _counted(manifest.counts)


def _sbp(demo: Demo) -> str:
    """Every synthetic token once, up to the paper's share; the real documents for the rest of the budget."""
    length, budget = demo.config.batch.sequence_length, demo.config.budget_tokens
    available = read_manifest(demo.at("corpus_synthetic")).counts["tokens"]
    synthetic = min(available, int(SYNTHETIC_SHARE * budget)) // length * length
    sources: dict[str, dict[str, Any]] = {
        "real": {"corpus": demo.at("corpus_subset"), "tokens": budget - synthetic},
        "synthetic": {"corpus": demo.at("corpus_synthetic"), "tokens": synthetic, "max_epochs": 1},
    }
    if not synthetic:
        raise InputError(
            where=str(demo.at("corpus_synthetic")), found=f"{available} synthetic tokens",
            expected=f"at least one sample of {length}",
            fix="Ask for more documents: synthesis.documents in the experiment file.",
        )  # fmt: skip
    return _train(demo, "arms/sbp", _arm(demo, sources))


def _oracle(demo: Demo) -> str:
    everything = {"corpus": demo.at("corpus_all"), "tokens": demo.config.budget_tokens}
    return _train(demo, "arms/oracle", _arm(demo, {"real": everything}))


def _evaluation(demo: Demo) -> str:
    arms = [demo.at(f"arms/{name}") for name in ("baseline", "sbp", "oracle")]
    heldout = demo.at("corpus_heldout")

    def build(scratch: Path) -> dict[str, Any]:
        arguments = ["eval", *map(str, arms), "--heldout", str(heldout)]
        if run_ranks(arguments, processes=demo.config.processes):
            raise RunFailed("evaluation failed; the lines above say why")
        results = {arm.name: json.loads((arm / "results.json").read_text()) for arm in arms}
        write_whole(scratch / "results.json", json.dumps(results, indent=1) + "\n")
        return {name: round(result["heldout"]["loss"], 6) for name, result in results.items()}

    inputs = {arm.name: arm for arm in arms} | {"heldout": heldout}
    manifest = run_step(demo.at("evaluation"), step="eval", inputs=inputs, settings={}, build=build, replace=True)
    return "held-out loss, nats per token: " + _counted(manifest.counts)


def _report(demo: Demo) -> str:
    from megatron_ext.report import build_report

    write_whole(demo.at("cost.json"), json.dumps(_cost(demo), indent=1) + "\n")
    build_report(demo.folder)
    return str(demo.folder / "report.html")


def _cost(demo: Demo) -> dict[str, int]:
    """FLOPs that SBP takes beside its training; prompts and answers are counted at their mean lengths."""
    from megatron_ext.plan.cost import generation_flops

    made = read_manifest(demo.at("corpus_synthetic")).counts
    requests = made["requests"]
    synthesis = generation_flops(
        demo.config.model, prompt=round(made["prompt_tokens"] / requests),
        new=max(1, round(made["generated_tokens"] / requests)), documents=requests,
    )  # fmt: skip
    tuning = json.loads((demo.at("synthesizer") / "plan.json").read_text())["budget"]["flops"]
    return {"tuning_flops": tuning, "synthesis_flops": synthesis}


def _arm(demo: Demo, sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A run's settings: what the arms share, and the sources in which they differ."""
    shared = as_dict(demo.config)
    keys = ("model", "batch", "schedule", "optimizer", "layout", "checkpoint", "tracking", "limits", "seed")
    resolved = {
        name: {key: str(value.resolve()) if isinstance(value, Path) else value for key, value in source.items()}
        for name, source in sources.items()
    }
    return {"sources": resolved} | {key: shared[key] for key in keys}


def _train(demo: Demo, name: str, settings: dict[str, Any]) -> str:
    folder, run_file = demo.at(name), demo.at(f"configs/{Path(name).name}.yaml")
    write_whole(run_file, yaml.safe_dump(settings, sort_keys=False))
    config = load_run(run_file)
    if not _is_this_run(folder, config):
        remove_artifact(folder)
    if not is_finished(folder):
        arguments = ["train", str(run_file), "--output", str(folder)]
        if run_ranks(arguments, processes=demo.config.processes):
            raise RunFailed(f"{name} failed; the lines above say why. Run the demo again to go on from its checkpoint.")
    if not is_finished(folder):
        raise RunFailed(f"{name} was stopped by a signal. Run the demo again to go on from its checkpoint.")
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


STAGES: dict[str, tuple[Callable[[Demo], str], str]] = {
    "clean": (_clean, "normalise the documents and drop what can't be used"),
    "split": (_split, "hold out documents, choose the baseline's subset"),
    "tokenizer": (_tokenizer, "train a SentencePiece BPE"),
    "corpora": (_corpora, "write the indexed corpora"),
    "embeddings": (_embeddings, "embed the subset's documents"),
    "neighbors": (_neighbors, "find each document's neighbours"),
    "pairs": (_pairs, "keep related pairs that are not near-duplicates"),
    "baseline": (_baseline, "pretrain on the subset, repeated"),
    "synthesizer": (_synthesizer, "tune the baseline on d2 given d1"),
    "synthesis": (_synthesis, "sample new documents from drawn ones"),
    "sbp": (_sbp, "pretrain on real documents repeated and synthetic ones once"),
    "oracle": (_oracle, "pretrain on all documents"),
    "evaluation": (_evaluation, "held-out loss of each arm"),
    "report": (_report, "write the page"),
}

FOLDERS = {
    "corpora": ("corpus_all", "corpus_subset", "corpus_heldout"),
    "baseline": ("arms/baseline",),
    "sbp": ("arms/sbp",),
    "oracle": ("arms/oracle",),
    "synthesis": ("corpus_synthetic", "corpus_synthetic.ledger"),
}
"""Folders of a stage, where they are not named like it."""
