"""Documents -> indexed corpus: `.bin/.idx`, groups, names, tokenizer, manifest. Every document ends with its end token.

Work is shared out by shards of the input, which depend on the input alone, and put together in their order: any number
of workers writes the same bytes, and a build that is killed goes on after its last finished shard.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data_tools.corpus.assembly import assemble
from data_tools.corpus.groups import KINDS
from data_tools.corpus.indexed import token_dtype
from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.steps.encode import TOO_LONG, Choice, Encoding, loaded
from data_tools.text.encoders import Gigatoken
from data_tools.text.inputs import Inputs, Shard, inputs_of, shards_of
from data_tools.text.readers import Fields, require_usable
from data_tools.text.rejects import MAX_BAD_SHARE, merge_rejects
from data_tools.text.tokenizer import BACKENDS
from data_tools.workers import HERE, RECORD, Team, folder_of, folders_of, run_shards

SHARD_BYTES, SLOW_SHARD_BYTES = 16 << 20, 2 << 20
"""Of JSON, with gigatoken and with the reference: a second's work or so, which is what a worker's death costs."""
MOST_SHARDS = 4096
"""Of a large input, roughly: each is a folder of files for a while."""


def tokenize(
    documents: Sequence[Path],
    tokenizer: Path,
    output: Path,
    *,
    max_tokens: int = 4096,
    too_long: str = "drop",
    kind: str = "real",
    eos: str | None = None,
    backend: str = "auto",
    fields: Fields = Fields(),  # noqa: B008 (frozen)
    max_bad_share: float = MAX_BAD_SHARE,
    allow_repeated_names: bool = False,
    shard_bytes: int | None = None,
    replace: bool = False,
    crew: Team = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Write an indexed corpus.

    Args:
        documents: files, folders or globs of documents, see `inputs_of`.
        tokenizer: folder of a tokenizer, or its file.
        output: corpus folder to make.
        max_tokens: most tokens of a document, its end-of-document token not counted.
        too_long: "drop" longer documents, or "split" them into parts of equal length; both are counted.
        kind: what the documents are, one of `groups.KINDS`.
        eos: token that ends a document, where a tokenizer.json doesn't say it.
        backend: "auto", "gigatoken" or "reference", see `Tokenizer`. The ids are the same, the speed is not.
        fields: keys of the records.
        max_bad_share: share of the records that may be unusable; they are listed in `rejects.jsonl`.
        allow_repeated_names: count documents whose name an earlier one has, instead of refusing them.
        shard_bytes: of a worker's piece of work, by default a second or two of it; the output doesn't depend on it.
        replace: remove an output that other inputs or settings made.
        crew: who works.
        progress: called with (shards done, shards in all).

    Raises:
        InputError: an input can't be read or holds too much that is unusable, an option is unknown, names repeat, or no
            document is left.
    """
    for name, value, known in (("kind", kind, KINDS), ("too_long", too_long, TOO_LONG), ("backend", backend, BACKENDS)):
        if value not in known:
            raise InputError(
                where=f"{name} of the documents" if name == "kind" else name, found=f"'{value}'",
                expected="one of " + ", ".join(known), fix="Name one of these.",
            )  # fmt: skip
    inputs = inputs_of(documents)
    choice = Choice.of(tokenizer, eos=eos, backend=backend, threads=crew.workers == 1)
    chosen = loaded(choice)
    shards = shards_of(inputs, shard_bytes or _shard_bytes(inputs, chosen.backend))
    encoding = Encoding(choice=choice, fields=fields, max_tokens=max_tokens, too_long=too_long)

    def build(scratch: Path) -> dict[str, Any]:
        require_usable(shards, fields)
        results = _encoded(encoding, shards, scratch, crew, progress)
        folders = folders_of(scratch, shards)
        totals = _summed(results)
        rejected = merge_rejects(folders, scratch, read=totals["read"], max_bad_share=max_bad_share)
        counts = assemble(
            folders, scratch, dtype=token_dtype(chosen.vocabulary), kind=kind, allow_repeated_names=allow_repeated_names
        )
        if not counts["documents"]:
            raise InputError(
                where=", ".join(map(str, documents)), found="no document that can be kept", expected="at least one",
                fix="Name files with documents, or raise the limit on their length.",
            )  # fmt: skip
        chosen.copy_to(scratch)
        return counts | totals | {"rejected": rejected, "passed_over_files": inputs.passed_over}

    settings = {
        "tokenizer": choice.content, "vocabulary": chosen.vocabulary, "eos": chosen.eos, "max_tokens": max_tokens,
        "too_long": too_long, "kind": kind, "fields": dataclasses.asdict(fields),
    }  # fmt: skip
    return run_step(
        output, step="tokenize", inputs=inputs.named(), settings=settings, build=build, replace=replace, task=crew.part
    )


def _shard_bytes(inputs: Inputs, backend: str) -> int:
    size = sum(path.stat().st_size for path in inputs)
    return max(SHARD_BYTES if backend == Gigatoken.name else SLOW_SHARD_BYTES, size // MOST_SHARDS)


def _encoded(
    encoding: Encoding,
    shards: Sequence[Shard],
    scratch: Path,
    crew: Team,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    """Counts of all shards, encoded; by the reference if gigatoken was found to differ from it in any."""
    results = run_shards(encoding, shards, scratch, crew, progress)
    if any(result["differs"] for result in results):
        if encoding.choice.backend == Gigatoken.name:
            raise InputError(
                where=str(encoding.choice.path), found="other ids from gigatoken for these texts",
                expected="those of the reference", fix="Leave the choice to --backend auto.",
            )  # fmt: skip
        for number, result in enumerate(results):
            if result["differs"] or result["backend"] == Gigatoken.name:
                (folder_of(scratch, number) / RECORD).unlink()
        reference = dataclasses.replace(encoding, choice=dataclasses.replace(encoding.choice, backend="reference"))
        results = run_shards(reference, shards, scratch, crew, progress)
    return results


def _summed(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    totals: Counter[str] = Counter(read=0, dropped_too_long=0, split=0)
    for result in results:
        totals.update({name: result[name] for name in totals})
    return dict(totals) | {"backends": dict(Counter(result["backend"] for result in results))}
