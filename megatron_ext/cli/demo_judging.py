"""The stages that judge: a small synthesis and its quality before the large one, quality, evaluation, the report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.corpus.manifest import run_step
from data_tools.errors import EndedEarly, InputError
from data_tools.files import write_whole
from megatron_ext.cli.demo_runs import ARMS, LONGER, Demo
from megatron_ext.cli.local import run_command, run_ranks
from megatron_ext.cli.output import Progress

if TYPE_CHECKING:
    from data_tools.synthesis.engines.choice import EngineChoice
    from megatron_ext.config import ExperimentConfig


def require_judging(config: "ExperimentConfig") -> None:
    """Refuse, before anything is done, what an experiment could not be judged with in the end.

    Raises:
        InputError: a task file, a benchmark's items, the judge or the thresholds can't be used, or lm-eval isn't there.
    """
    from data_tools.files import require_file
    from data_tools.quality.judge import VERDICTS
    from megatron_ext.config.yaml_file import read_yaml
    from megatron_ext.evaluation.benchmarks import require_benchmarks
    from megatron_ext.evaluation.inputs import read_tasks

    asked, judge = config.evaluation, config.quality.judge
    read_tasks(asked.tasks, most_items=1)
    if asked.benchmarks:
        require_benchmarks(asked.benchmarks, asked.offline_data)
    for path in config.quality.benchmarks:
        require_file(path, fix="Correct quality.benchmarks.")
    if judge is not None and judge.folder is not None and not judge.folder.is_dir():
        raise InputError(
            where=f"quality.judge.folder {judge.folder}", found="no such folder", expected="a model that judges",
            fix="Put it there, name a server, or leave the judge out.",
        )  # fmt: skip
    if config.mideval is None:
        return
    bounds = read_yaml(require_file(config.mideval.threshold, fix="Correct mideval.threshold.")).values or {}
    judged = [measure for measure in bounds if measure in VERDICTS]
    if judged and judge is None:
        raise InputError(
            where=f"{config.mideval.threshold}, {judged[0]}", found="a bound on what a judge tells, and no judge",
            expected="quality.judge in the experiment's file", fix="Name a judge, or take the line out.",
        )  # fmt: skip


def judging_paths(config: "ExperimentConfig") -> dict[str, Path]:
    """What stages will read to judge: key in the experiment's file -> path."""
    judge, asked = config.quality.judge, config.evaluation
    paths = {
        "quality.judge.folder": judge and judge.folder,
        "evaluation.offline_data": asked.offline_data if asked.benchmarks else None,
        "mideval.threshold": config.mideval and config.mideval.threshold,
    }
    several = {"evaluation.tasks": asked.tasks, "quality.benchmarks": config.quality.benchmarks}
    named = {f"{key} {path.name}": path for key, files in several.items() for path in files}
    return {key: path for key, path in paths.items() if path is not None} | named


def synthesize_into(demo: Demo, output: Path, *, documents: int | None, budget_tokens: int | None) -> dict[str, Any]:
    """Sample documents with the experiment's synthesizer; returns the counts."""
    from data_tools.synthesis.filters import Filters
    from data_tools.synthesis.recipes.sbp import SBP
    from data_tools.synthesis.requests import Sampling
    from data_tools.synthesis.run import synthesize
    from megatron_ext.cli.synthesizer import engine_of

    settings, corpus = demo.config.synthesis, demo.at("corpus_subset")
    sampling = Sampling(settings.temperature, settings.top_p, settings.max_new_tokens)
    engine = engine_of(
        str(demo.at("synthesizer")), corpus, kind=settings.engine, batch=settings.batch,
        tensor_parallel=settings.tensor_parallel,
    )  # fmt: skip
    with Progress("synthesis", unit="seeds") as progress:
        return synthesize(
            corpus, output, recipe=SBP(variants=settings.variants, sampling=sampling), engine=engine,
            filters=Filters.of("sbp", shingle=settings.shingle), documents=documents, budget_tokens=budget_tokens,
            seed=demo.config.seed, replace=True, crew=demo.crew, progress=progress.update,
        ).counts  # fmt: skip


def mideval(demo: Demo) -> str:
    """A small synthesis and its verdict; no go ends the stage, so that what waits for it never starts."""
    from data_tools.quality.page import FIGURES

    settings = demo.config.mideval
    assert settings is not None, "the stage is left out without its section"
    synthesize_into(demo, demo.at("mideval/corpus"), documents=settings.documents, budget_tokens=None)
    _measure(demo, "mideval/corpus", "mideval/quality", threshold=settings.threshold)
    verdict = json.loads((demo.at("mideval/quality") / FIGURES).read_text())["verdict"]
    if not verdict["go"]:
        raise EndedEarly(
            "no go for the large synthesis: " + "; ".join(verdict["reasons"]) + f". Look at "
            f"{demo.at('mideval/quality')}/quality.html; tune longer or change the synthesis, or change the bounds in "
            f"{settings.threshold}."
        )  # fmt: skip
    inputs = {"quality": demo.at("mideval/quality")}
    run_step(
        demo.at("mideval/go"), step="mideval", inputs=inputs, settings={}, build=lambda _scratch: verdict, replace=True
    )
    return f"go: {len(verdict['bounds'])} bounds are kept"


def quality(demo: Demo) -> str:
    """The measures of the synthetic corpus."""
    counts = _measure(demo, "corpus_synthetic", "quality", threshold=None)
    shares = {name: value for name, value in counts.items() if isinstance(value, float)}
    return ", ".join(f"{name} {value:.3f}" for name, value in shares.items())


def evaluation(demo: Demo) -> str:
    """Held-out loss of each arm, and what else they are asked."""
    names = (*ARMS, LONGER) if demo.config.flops_matched else ARMS
    arms = [demo.at(f"arms/{name}") for name in names]
    heldout, asked = demo.at("corpus_heldout"), demo.config.evaluation

    def build(scratch: Path) -> dict[str, Any]:
        limit = [] if asked.most_items is None else ["--items", str(asked.most_items)]
        arguments = ["eval", *map(str, arms)]
        tasks = [word for task in asked.tasks for word in ("--tasks", str(task))]
        if run_ranks([*arguments, "--heldout", str(heldout), *tasks, *limit], processes=demo.config.processes):
            raise EndedEarly("evaluation failed; the lines above say why")
        if asked.benchmarks:
            data = ["--offline-data", str(asked.offline_data)] if asked.offline_data else []
            if run_command(*arguments, "--benchmarks", ",".join(asked.benchmarks), *data, *limit):
                raise EndedEarly("the benchmarks failed; the lines above say why")
        results = {arm.name: json.loads((arm / "results.json").read_text()) for arm in arms}
        write_whole(scratch / "results.json", json.dumps(results, indent=1) + "\n")
        return {name: round(result["heldout"]["loss"], 6) for name, result in results.items()}

    inputs = {arm.name: arm for arm in arms} | {"heldout": heldout} | {task.name: task for task in asked.tasks}
    settings = {"most_items": asked.most_items, "benchmarks": list(asked.benchmarks)}
    manifest = run_step(demo.at("evaluation"), step="eval", inputs=inputs, settings=settings, build=build, replace=True)
    return "held-out loss, nats per token: " + ", ".join(f"{name} {loss}" for name, loss in manifest.counts.items())


def report(demo: Demo) -> str:
    """The page."""
    from megatron_ext.cli.demo_costs import synthesis_flops, tuning_flops
    from megatron_ext.report import build_report

    synthesis = synthesis_flops(demo.config, demo.at("corpus_synthetic"))
    cost = {"tuning_flops": tuning_flops(demo.config), "synthesis_flops": synthesis}
    write_whole(demo.at("cost.json"), json.dumps(cost, indent=1) + "\n")
    build_report(demo.folder)
    return str(demo.folder / "report.html")


def _measure(demo: Demo, corpus: str, output: str, *, threshold: Path | None) -> dict[str, Any]:
    from data_tools.quality.measuring import Settings
    from data_tools.quality.run import quality as step
    from megatron_ext.config.yaml_file import read_yaml

    asked = demo.config.quality
    settings = Settings(
        source=demo.at("corpus_subset"), heldout=demo.at("corpus_heldout"), benchmarks=asked.benchmarks,
        judge=_judge(demo), seed=demo.config.seed,
    )  # fmt: skip
    if asked.judge is not None:
        settings = replace(settings, sample=asked.judge.sample, judge_by=asked.judge.by)
    with Progress("rules", unit="shards") as rules, Progress("judge", unit="documents") as judging:
        return step(
            demo.at(corpus), demo.at(output), settings, replace=True, crew=demo.crew, progress=rules.update,
            thresholds=None if threshold is None else read_yaml(threshold).values or {},
            thresholds_file=str(threshold), judging=judging.update,
        ).counts  # fmt: skip


def _judge(demo: Demo) -> "EngineChoice | None":
    from megatron_ext.cli.synthesizer import engine_of

    judge, corpus = demo.config.quality.judge, demo.at("corpus_subset")
    if judge is None:
        return None
    if judge.folder is None:
        return engine_of(judge.model, corpus, kind="server", url=judge.url)
    return engine_of(str(judge.folder), corpus, kind=judge.engine)
