"""What `plan --steps` prints: where each sample of some steps comes from, down to the names of its documents."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from megatron_ext.cli.output import print_result, say

if TYPE_CHECKING:
    from data_tools.corpus.indexed import IndexedCorpus
    from megatron_ext.config import RunConfig
    from megatron_ext.data.sources import Source
    from megatron_ext.plan.samples import Sample, SamplePlan


def list_samples(config: "RunConfig", steps: str, *, text: bool, as_json: bool) -> None:
    """Print the samples of some steps, with the passages that are injected into them.

    Args:
        config: the run.
        steps: `A:B`: from step A on, counted from 0, to the one before B.
        text: whether each row is decoded too: as it is trained, in the parts that ends of documents leave.
        as_json: for a program.

    Raises:
        InputError: the run has no such steps, or something that it reads can't be used.
    """
    from data_tools.errors import InputError

    first, _, stop = steps.partition(":")
    if not (first.isdigit() and stop.isdigit()):
        raise InputError(where="--steps", found=repr(steps), expected="A:B", fix="Give two numbers, such as 10:12.")
    rows = list(_rows(config, int(first), int(stop), text=text))
    if as_json:
        print_result({"samples": rows}, as_json=True)
        return
    columns = ["step", "sample", "source", "epoch", "start", *["passage"] * bool(config.knowledge), "documents"]
    say("\t".join(columns + ["text"] * text))
    for row in rows:
        shown = row | {"passage": _shown_passage(row), "documents": ", ".join(map(str, row["documents"]))}
        say(
            "\t".join(
                [
                    *(str(shown[column]) for column in columns),
                    *([json.dumps(row["text"], ensure_ascii=False)] if text else []),
                ]
            )
        )


def _rows(config: "RunConfig", first: int, stop: int, *, text: bool) -> Iterator[dict[str, Any]]:
    from megatron_ext.data.sources import described, open_sources
    from megatron_ext.plan.samples import SamplePlan

    sources = open_sources(config)
    plan = SamplePlan.of(config, {name: source.extent for name, source in sources.items()})
    names = {name: _document_names(source.corpora) for name, source in sources.items()}
    text_of = _texts(config, plan, sources) if text else None
    for step, number, sample in plan.consumed(first, stop):
        row = {"step": step} | described(number, sample, sources, plan.showings.get(number))
        row["documents"] = [names[sample.source](document) for document in row["documents"]]
        yield row | ({"text": text_of(number, sample)} if text_of else {})


def _texts(
    config: "RunConfig", plan: "SamplePlan", sources: "Mapping[str, Source]"
) -> "Callable[[int, Sample], list[str]]":
    """Number of a sample and the sample -> its row as the model is given it, as the texts between ends of documents."""
    import numpy as np

    from megatron_ext.data.injection import Passages, inject, tokenizer_of
    from megatron_ext.data.sources import corpus_folders

    folders = corpus_folders(sources)
    passages, (tokenizer, end) = Passages.of(config, plan, folders), tokenizer_of(config, folders)

    def text_of(number: int, sample: "Sample") -> list[str]:
        row = sources[sample.source].row(sample)
        if showing := plan.showings.get(number):
            row = inject(row, passages[showing])
        parts = np.split(row.tokens_S, np.flatnonzero(row.tokens_S == end) + 1)
        return [tokenizer.decode(part[part != end].tolist()) for part in parts]

    return text_of


def _shown_passage(row: dict[str, Any]) -> str:
    """`7`, or `7 paraphrase 2`, or a dash for a row without one."""
    if "passage" not in row:
        return "-"
    return f"{row['passage']} paraphrase {row['version']}" if row["version"] else str(row["passage"])


def _document_names(corpora: "Sequence[IndexedCorpus]") -> "Callable[[int], str | int]":
    """Number of a document, counted through the corpora -> its name; the number itself where one keeps no names."""
    from bisect import bisect_right
    from itertools import accumulate

    from data_tools.corpus.indexed import file_of
    from data_tools.corpus.names import Names

    if not all(file_of(corpus.prefix, ".names.npy").exists() for corpus in corpora):
        return lambda number: number
    names, firsts = [Names(corpus.prefix) for corpus in corpora], list(accumulate(map(len, corpora), initial=0))

    def name_of(number: int) -> str:
        corpus = bisect_right(firsts, number) - 1
        return names[corpus][number - firsts[corpus]]

    return name_of
