"""How large a run's corpora are, read from their indexes: needs neither torch nor the tokens themselves."""

from pathlib import Path

from data_tools.corpus.indexed import CORPUS_PREFIX, IndexedCorpus
from data_tools.errors import InputError
from data_tools.files import require_file
from megatron_ext.config import RunConfig, SourceConfig

PAIRS_FILE = "pairs.npy"


def source_sizes(config: RunConfig) -> dict[str, int]:
    """Source name -> tokens of its corpus; for a source of pairs, its pairs. The plan's units.

    Raises:
        InputError: a corpus or a list of pairs is missing or can't be read.
    """
    return {name: _size(source) for name, source in config.sources.items()}


def source_documents(config: RunConfig) -> dict[str, int]:
    """Source name -> documents of its corpus.

    Raises:
        InputError: as for `source_sizes`.
    """
    return {name: len(_corpus(source)) for name, source in config.sources.items()}


def _size(source: SourceConfig) -> int:
    return _corpus(source).token_count if source.pairs is None else _pair_count(source.pairs / PAIRS_FILE)


def _corpus(source: SourceConfig) -> IndexedCorpus:
    return IndexedCorpus(source.corpus / CORPUS_PREFIX)


def _pair_count(path: Path) -> int:
    import numpy as np

    require_file(path, fix="Run `megatron-ext data pairs` first, or correct the path.")
    try:
        return len(np.load(path, mmap_mode="r"))
    except (ValueError, EOFError, OSError) as error:
        raise InputError(
            where=str(path), found=f"a file that can't be read ({error})", expected="pairs as `data pairs` writes them",
            fix="Remove its folder and make the pairs again.",
        ) from None  # fmt: skip
