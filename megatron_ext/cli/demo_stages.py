"""The stages of the demo, in their order: each calls one step of data_tools, or starts the ranks of a training.

Every stage leaves a folder with a manifest, and returns a line that says what is in it. Called again, it finds its
folder finished if that was made from the same inputs and settings.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import Manifest, is_finished, read_manifest, run_step
from data_tools.files import remove_artifact, write_whole
from data_tools.workers import OthersAtWork
from launch.graph import Stage
from megatron_ext.cli.demo_runs import ARMS, Demo, write_run_file
from megatron_ext.cli.local import run_ranks
from megatron_ext.cli.output import Progress
from megatron_ext.config import RunConfig, as_dict, load_run


class RunFailed(Exception):
    """A stage's own processes ended badly; what they printed says why."""


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
    from data_tools.synthesis.engines.choice import EngineChoice
    from data_tools.synthesis.filters import Filters
    from data_tools.synthesis.recipes.sbp import SBP
    from data_tools.synthesis.requests import Sampling
    from data_tools.synthesis.run import synthesize
    from megatron_ext.cli.synthesizer import engine_model

    settings, corpus = demo.config.synthesis, demo.at("corpus_subset")
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_new_tokens)
    engine = EngineChoice(
        model=engine_model(str(demo.at("synthesizer")), corpus), kind=settings.engine, batch=settings.batch,
        tensor_parallel=settings.tensor_parallel,
    )  # fmt: skip
    with Progress("synthesis", unit="seeds") as progress:
        manifest = synthesize(
            corpus, demo.at("corpus_synthetic"), recipe=SBP(variants=settings.variants, sampling=sampling),
            engine=engine, filters=Filters.of("sbp", shingle=settings.shingle), documents=settings.documents,
            budget_tokens=settings.budget_tokens, seed=demo.config.seed, replace=True, crew=demo.crew,
            progress=progress.update,
        )  # fmt: skip
    return _counted(manifest.counts)


def _sbp(demo: Demo) -> str:
    return _train(demo, "sbp", "arms/sbp")


def _oracle(demo: Demo) -> str:
    return _train(demo, "oracle", "arms/oracle")


def _evaluation(demo: Demo) -> str:
    arms = [demo.at(f"arms/{name}") for name in ARMS]
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


def _train(demo: Demo, stage: str, name: str) -> str:
    folder = demo.at(name)
    run_file = write_run_file(demo, stage, demo.at(f"configs/{stage}.yaml"))
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
    "synthesis": (
        _synthesis,
        Stage(
            "sample new documents from drawn ones", ("synthesizer",), takes="gpu", parted=True,
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
    "evaluation": (_evaluation, Stage("held-out loss of each arm", ("sbp", "baseline", "oracle"), takes="node")),
    "report": (_report, Stage("write the page", ("evaluation",), outputs=("report.html",))),
}  # fmt: skip
"""Name -> what it does, and what it is: in an order in which each comes after what it needs."""
