"""The resumable sampling loop of synthetic bootstrapped pretraining: seeds drawn, d2 ~ p(d2 | d1), filtered, written.

Work is done in batches. A finished batch is a file in the scratch folder; a run that is killed goes on after the last
one. What a batch draws and samples depends on (seed, batch number) only, so the result is the same however often it was
interrupted.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.corpus.names import Names
from data_tools.files import SHARDS, write_whole
from data_tools.lines import write_lines
from data_tools.synthesis.engines import Engine
from data_tools.synthesis.filters import reason_to_drop
from data_tools.text.tokenizer import Tokenizer

SYNTHETIC, DROPPED, SAMPLES = "synthetic.jsonl.zst", "dropped.jsonl.zst", "samples.json"
SHOWN = 20
"""Kept documents beside their seeds, for reports."""


def synthesize(
    corpus: Path,
    tokenizer: Path,
    engine: Callable[[], Engine],
    output: Path,
    *,
    documents: int,
    model: Path,
    max_new_tokens: int,
    seed: int,
    temperature: float = 1.0,
    top_p: float = 0.9,
    shingle: int = 13,
    batch: int = 64,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Sample new documents.

    Args:
        corpus: corpus folder from which seeds are drawn uniformly, with replacement.
        tokenizer: tokenizer folder of that corpus.
        engine: gives the engine, called only if there is something left to sample.
        output: folder to make: kept documents, dropped ones with their reason, samples beside their seeds.
        documents: seeds to draw.
        model: the folder that the engine reads, for the manifest.
        max_new_tokens: a document that has not ended by then is cut there and counted as truncated.
        seed: of seeds and sampling.
        temperature: of sampling.
        top_p: of sampling.
        shingle: words in a row that may not occur twice in a document.
        batch: documents at a time; part of the settings, since it changes what is sampled.
        replace: remove an output that other inputs or settings made.
        progress: called with (documents done, documents in all).
    """
    loaded = Tokenizer.load(tokenizer)
    settings = {
        "documents": documents, "max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p,
        "seed": seed, "shingle": shingle, "batch": batch, "recipe": "sbp",
    }  # fmt: skip

    def build(scratch: Path) -> dict[str, Any]:
        rows = _sampled(scratch / SHARDS, corpus, loaded, engine, settings, progress)
        return _write(scratch, list(rows), shingle)

    inputs = {"corpus": corpus, "tokenizer": tokenizer, "model": model}
    return run_step(output, step="synth sbp", inputs=inputs, settings=settings, build=build, replace=replace)


def prompt_of(d1: list[int]) -> list[int]:
    """What the synthesizer is given: the seed document with its end-of-document token, as it was tuned."""
    return d1


def _sampled(
    shards: Path,
    corpus: Path,
    tokenizer: Tokenizer,
    engine: Callable[[], Engine],
    settings: dict[str, Any],
    progress: Callable[[int, int], None] | None,
) -> Iterator[dict[str, Any]]:
    indexed, ids = IndexedCorpus(corpus / CORPUS_PREFIX), Names(corpus / CORPUS_PREFIX)
    total, size, running = settings["documents"], settings["batch"], None
    for number, start in enumerate(range(0, total, size)):
        shard = shards / f"batch-{number:06d}.json"
        if not shard.exists():
            running = running or engine()
            draw = random.Random(f"{settings['seed']} seeds {number}")
            seeds = [draw.randrange(len(ids)) for _ in range(min(size, total - start))]
            answers = running.generate(
                [prompt_of(indexed.document(chosen).tolist()) for chosen in seeds],
                max_new_tokens=settings["max_new_tokens"],
                temperature=settings["temperature"],
                top_p=settings["top_p"],
                eos=tokenizer.eos,
                seed=settings["seed"] * 1_000_003 + number,
            )
            rows = [
                {
                    "id": f"{ids[chosen]}{'.' if '#' in ids[chosen] else '#'}sbp-{start + place}",
                    "seed_id": ids[chosen],
                    "seed_text": tokenizer.decode(indexed.document(chosen)[:-1]),
                    "text": tokenizer.decode(answer.ids),
                    "tokens": len(answer.ids),
                    "finished": answer.finished,
                }
                for place, (chosen, answer) in enumerate(zip(seeds, answers, strict=True))
            ]
            write_whole(shard, json.dumps(rows))
        yield from json.loads(shard.read_text())
        if progress:
            progress(min(start + size, total), total)


def _write(scratch: Path, rows: list[dict[str, Any]], shingle: int) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    kept, dropped = [], []
    for row in rows:
        reason = reason_to_drop(row["text"], shingle=shingle)
        counts[f"dropped_{reason}" if reason else "kept"] += 1
        counts["truncated"] += not row["finished"]
        counts["tokens"] += row["tokens"]
        document = {"id": row["id"], "text": row["text"], "source": "sbp", "licence": "synthetic"}
        if reason:
            dropped.append(document | {"reason": reason})
        else:
            kept.append((document, row))
    write_lines(scratch / SYNTHETIC, (document for document, _ in kept))
    write_lines(scratch / DROPPED, dropped)
    samples = [{name: row[name] for name in ("seed_id", "seed_text", "text")} for _, row in kept[:SHOWN]]
    write_whole(scratch / SAMPLES, json.dumps(samples, indent=1, ensure_ascii=False) + "\n")
    named = ("kept", "truncated", "tokens", "dropped_repetition", "dropped_empty", "dropped_too_short")
    return {"sampled": len(rows)} | {name: counts[name] for name in named}
