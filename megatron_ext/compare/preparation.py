"""What is checked and made before the first run: sizes, held-out pages, views. Cheap: nothing here copies tokens."""

from pathlib import Path

import numpy as np

from data_tools.corpus.apart import require_apart
from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.corpus.manifest import read_manifest
from data_tools.errors import InputError
from data_tools.steps.megadocs import megadocs
from data_tools.steps.subset import subset
from megatron_ext.compare.runs import Comparison
from megatron_ext.plan.extent import Extent


def prepare(comparison: Comparison) -> None:
    """Check the corpora, and make the views.

    Raises:
        InputError: a run can't be built; steps_per_epoch is not the real corpus's; a corpus has another tokenizer; no
            document is long enough for the loss by position; a held-out page is in a corpus that is trained on; a view
            can't be made.
    """
    config = comparison.config
    list(comparison.runs)  # so that none is refused after others have cost their hours
    _require_steps_per_epoch(comparison)
    _require_one_tokenizer(comparison)
    for heldout in dict.fromkeys((config.heldout, config.long_documents or config.heldout)):
        require_apart(heldout, trained_corpora(comparison))
    if config.long_documents:
        _require_long_documents(comparison, config.long_documents)
    for name, view in config.views.items():
        megadocs(
            config.real, view.synthetic, comparison.view(name), layout=view.layout, real=view.real, seed=config.seed,
            replace=True,
        )  # fmt: skip
    drawn_from = config.scan.corpus if config.scan and config.scan.corpus else config.real
    for _, run in comparison.scan:
        subset(drawn_from, comparison.view(run.arm), tokens=run.real_tokens, seed=config.seed, replace=True)


def trained_corpora(comparison: Comparison) -> list[Path]:
    """Every corpus that a run reads from, each once."""
    config = comparison.config
    found = [config.real, *(corpus for view in config.views.values() for corpus in view.synthetic)]
    if config.scan and config.scan.corpus:
        found.append(config.scan.corpus)
    return list(dict.fromkeys(found))


def _require_steps_per_epoch(comparison: Comparison) -> None:
    config = comparison.config
    size = IndexedCorpus(config.real / CORPUS_PREFIX).token_count
    holds = Extent.of_windows(size, config.batch.sequence_length).rows // config.batch.global_batch
    if holds != config.steps_per_epoch:
        raise InputError(
            where=f"{comparison.where}, key 'steps_per_epoch'", found=str(config.steps_per_epoch),
            expected=f"{holds}: the whole steps of {config.batch.tokens_per_step} tokens in {config.real}",
            fix="Correct the number, or name the corpus that it is of.",
        )  # fmt: skip


def _require_one_tokenizer(comparison: Comparison) -> None:
    config = comparison.config
    wanted = read_manifest(config.real).settings.get("tokenizer")
    heldout = [corpus for corpus in (config.heldout, config.long_documents) if corpus]
    for corpus in (*trained_corpora(comparison), *heldout):
        if read_manifest(corpus).settings.get("tokenizer") != wanted:
            raise InputError(
                where=str(corpus), found="another tokenizer", expected=f"that of {config.real}",
                fix="Tokenize all corpora alike: losses over other tokens do not compare.",
            )  # fmt: skip


def _require_long_documents(comparison: Comparison, corpus: Path) -> None:
    row = comparison.config.batch.sequence_length
    longest = int(np.max(IndexedCorpus(corpus / CORPUS_PREFIX).lengths, initial=0))
    if longest <= row:
        raise InputError(
            where=f"{comparison.where}, key 'long_documents'", found=f"documents of at most {longest} tokens",
            expected=f"some of more than {row}, which fill a row",
            fix="Hold out longer documents, or leave `long_documents` out.",
        )  # fmt: skip
