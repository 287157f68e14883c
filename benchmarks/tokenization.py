"""`data tokenize` against its peers: one .jsonl file to a finished .bin and .idx, the same tokens on the same cores.

    python benchmarks/tokenization.py --megatron-lm PATH --datatrove-python PATH
    python benchmarks/tokenization.py --quick

The corpus is the documentation of debian_corpus.py, which fetches it (--packages linux-doc: a part; --corpus: another
file), the tokenizer a byte-level BPE of 50,254 entries, trained on a quarter of it. Ratios, each the peer's cost over
ours:

  - megatron: tools/preprocess_data.py of a Megatron-LM checkout, with --workers processes;
  - megatron_fast: its tools/preprocess_data_fast.py, which holds all tokens in memory and has no processes to choose;
  - datatrove: its Megatron tokenizer step, one file and one task for each worker;
  - bare: the `tokenizers` library alone on texts in memory, against our whole step with --backend reference.

Each is timed as a process, from its start to its end, on --workers cores, in turns; medians count, and short ones run
thrice a turn. `own count` is the time that a peer prints itself, without its imports. `same` says whether its tokens
are ours, byte by byte: all tokens of all documents, each ended by the end token. Ours is flushed to disk, hashed and
has a manifest; theirs is not.
A peer that is not there has a row that says so, and no ratio.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.debian_corpus import CACHE, COLLECTIONS, build  # noqa: E402
from benchmarks.support import Spent, median, show, timed, use_cores  # noqa: E402
from data_tools.errors import InputError  # noqa: E402
from data_tools.files import content_hash, write_whole  # noqa: E402
from data_tools.text.readers import read_documents, write_documents  # noqa: E402

PEERS = ROOT / "benchmarks" / "peers"
END = "<|endoftext|>"
VOCABULARY = 50_254
TRAINED_ON = 4
"""Every so many documents one is used to train the tokenizer."""
QUICK = 8
"""Of so many documents --quick takes one."""
SHORT, SHORT_RUNS = 3.0, 3
"""Seconds below which a side is run several times a turn: on a shared machine one second differs more than twenty."""
NO_LIMIT = 1 << 30
"""Tokens: peers keep documents of any length."""


@dataclass(frozen=True, slots=True)
class Place:
    """What all sides read, and where they write."""

    corpus: Path
    tokenizer: Path
    scratch: Path
    workers: int


@dataclass(slots=True)
class Side:
    """One contender: its command, where its tokens will lie, and what was measured."""

    name: str
    folder: Path
    """Where it writes; empty when it starts."""
    command: list[str]
    output: list[Path]
    """Token files, in the order of the documents; none where nothing is written."""
    environment: dict[str, str] = field(default_factory=dict)
    own_count: Callable[[str], float | None] = lambda output: None
    missing: str = ""
    """Why it can't run, if so."""
    runs: list[Spent] = field(default_factory=list)

    def run(self) -> None:
        if self.missing:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        spent = timed(self.command, os.environ | self.environment)
        if spent.status:
            self.missing = f"failed: {spent.last_line}"
        else:
            self.runs.append(spent)

    @property
    def seconds(self) -> float:
        return median([run.seconds for run in self.runs])

    def counted(self) -> float | None:
        """Seconds that it counts itself."""
        found = [count for run in self.runs if (count := self.own_count(run.output)) is not None]
        return median(found) if found else None

    def tokens(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.output)


def main() -> None:
    options = _options()
    use_cores(options.workers)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        place = _prepare(options, Path(scratch))
        sides = [ours(place, "auto"), ours(place, "reference"), *peers(place, options), bare(place)]
        for _ in range(1 if options.quick else options.turns):
            for side in sides:
                side.run()
                while side.runs and side.seconds < SHORT and len(side.runs) % SHORT_RUNS:
                    side.run()
        report(sides, place)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="an eighth of the corpus, one turn")
    parser.add_argument("--packages", nargs="+", choices=COLLECTIONS, default=list(COLLECTIONS), metavar="NAME",
                        help="documentation to tokenize: " + ", ".join(COLLECTIONS))  # fmt: skip
    parser.add_argument("--corpus", type=Path, help="a .jsonl file with `id`, `text`, `source`, `licence`")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for packages and tokenizer")
    parser.add_argument("--folder", type=Path, help="where the outputs are made and removed again")
    parser.add_argument("--megatron-lm", type=Path, default=os.environ.get("MEGATRON_LM"), metavar="PATH",
                        help="checkout of Megatron-LM (default: $MEGATRON_LM)")  # fmt: skip
    parser.add_argument("--megatron-python", default=sys.executable, metavar="PATH",
                        help="interpreter that has what the checkout needs")  # fmt: skip
    parser.add_argument("--datatrove-python", default=sys.executable, metavar="PATH", help="interpreter with datatrove")
    return parser.parse_args()


def _prepare(options: argparse.Namespace, scratch: Path) -> Place:
    corpus = options.corpus or _documentation(options.packages, options.cache, scratch)
    if options.quick:
        corpus, whole = scratch / "some.jsonl", corpus
        with whole.open("rb") as lines, corpus.open("wb") as some:
            some.writelines(line for number, line in enumerate(lines) if number % QUICK == 0)
    tokenizer = options.cache / f"tokenizer-{VOCABULARY}-{content_hash(corpus)}"
    if not (tokenizer / "tokenizer.json").exists():
        with corpus.open() as lines:
            some = (line for number, line in enumerate(lines) if number % TRAINED_ON == 0)
            train_tokenizer((json.loads(line)["text"] for line in some), tokenizer, VOCABULARY)
    return Place(corpus, tokenizer, scratch, options.workers)


def _documentation(packages: Sequence[str], cache: Path, scratch: Path) -> Path:
    """The corpus of the comparison; where Debian's packages can't be had, the one that comes with the examples."""
    corpus = cache / ("-".join(packages) + ".jsonl")
    try:
        if not corpus.exists():
            build(corpus, packages, cache)
    except InputError as error:
        print(f"{error}\nThe corpus of the examples is used instead: smaller, so that starting up weighs more.")
        corpus = scratch / "examples.jsonl"
        write_documents(corpus, read_documents(sorted((ROOT / "examples" / "corpus").glob("*.jsonl.zst"))))
    return corpus


def train_tokenizer(texts: Iterable[str], folder: Path, vocabulary: int) -> None:
    """A byte-level BPE in the manner of GPT-NeoX, as a folder that `transformers` reads too."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    special = {"eos_token": END, "bos_token": END, "unk_token": END}
    write_whole(folder / "tokenizer_config.json", json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | special))
    write_whole(folder / "tokenizer.json", tokenizer.to_str())


def ours(place: Place, backend: str) -> Side:
    folder = place.scratch / f"ours-{backend}"
    output = folder / "corpus"
    command = [
        sys.executable, "-m", "megatron_ext", "data", "tokenize", str(place.corpus), str(output),
        "--tokenizer", str(place.tokenizer), "--workers", str(place.workers), "--backend", backend,
        "--max-tokens", str(NO_LIMIT),
    ]  # fmt: skip
    name = "ours" if backend == "auto" else f"ours, {backend}"
    return Side(name, folder, command, [output / "corpus.bin"], {"PYTHONPATH": str(ROOT)})


def peers(place: Place, options: argparse.Namespace) -> list[Side]:
    return [*megatron(place, options.megatron_lm, options.megatron_python), datatrove(place, options.datatrove_python)]


def megatron(place: Place, checkout: Path | None, python: str) -> list[Side]:
    """Both of Megatron-LM's tools."""
    absent = "" if checkout else "no checkout of Megatron-LM: name one with --megatron-lm or $MEGATRON_LM"
    more = {"preprocess_data.py": ["--workers", str(place.workers)], "preprocess_data_fast.py": ["--use-gigatoken"]}
    counts = {"preprocess_data.py": None, "preprocess_data_fast.py": r"Elapsed time: ([\d.]+) seconds"}
    sides = []
    for tool, arguments in more.items():
        output = place.scratch / tool.removesuffix(".py")
        command = [
            python, str(Path(checkout or "") / "tools" / tool), "--tokenizer-type", "HuggingFaceTokenizer",
            "--tokenizer-model", str(place.tokenizer), "--input", str(place.corpus),
            "--output-prefix", str(output / "corpus"), "--append-eod", *arguments,
        ]  # fmt: skip
        tokens = [output / "corpus_text_document.bin"]
        sides.append(Side(tool, output, command, tokens, {"PYTHONPATH": str(checkout)}, _reads(counts[tool]), absent))
    return sides


def datatrove(place: Place, python: str) -> Side:
    """The step shares work out by file, so it is given one for each worker, cut before its time begins."""
    folder, output = place.scratch / "parts", place.scratch / "datatrove"
    folder.mkdir()
    with place.corpus.open("rb") as lines:
        rows = lines.readlines()
    share = -(-len(rows) // place.workers)
    for number in range(place.workers):
        (folder / f"{number:05}.jsonl").write_bytes(b"".join(rows[number * share : (number + 1) * share]))
    command = [
        python, str(PEERS / "datatrove_tokens.py"), str(folder), str(place.tokenizer / "tokenizer.json"), END,
        str(output), str(place.workers),
    ]  # fmt: skip
    found = subprocess.run([python, "-c", "import datatrove"], capture_output=True).returncode == 0
    missing = "" if found else "datatrove can't be imported: name its interpreter with --datatrove-python"
    tokens = [output / f"part_{number:05}_tokens.bin" for number in range(place.workers)]
    last_total = r"(?s:.*)Total Runtime: ([\d.]+) seconds"
    return Side("datatrove", output, command, tokens, {"PYTHONPATH": ""}, _reads(last_total), missing)


def bare(place: Place) -> Side:
    script, model = str(PEERS / "bare_tokenizers.py"), str(place.tokenizer / "tokenizer.json")
    command, seconds = [sys.executable, script, str(place.corpus), model], _reads(r'"seconds": ([\d.]+)')
    return Side("bare tokenizers", place.scratch / "bare", command, [], {"PYTHONPATH": ""}, seconds)


def _reads(pattern: str | None) -> Callable[[str], float | None]:
    def own_count(output: str) -> float | None:
        found = re.search(pattern, output) if pattern else None
        return float(found[1]) if found else None

    return own_count


def report(sides: Sequence[Side], place: Place) -> None:
    mine, fallback, *others = sides
    for side in (mine, fallback):
        if side.missing:
            sys.exit(f"{side.name}: {side.missing}")
    tokens = mine.tokens()
    counts = json.loads((mine.output[0].parent / "manifest.json").read_text())["counts"]
    rows = [_row(side, counts["tokens"], tokens) for side in sides]
    ratios, names = {}, {"preprocess_data.py": "megatron", "preprocess_data_fast.py": "megatron_fast"}
    for side in (side for side in others if side.runs):
        ratios[names.get(side.name, side.name)] = side.seconds / mine.seconds
    if ratios.pop("bare tokenizers", None):  # whose time without its start is what ours is held against
        ratios["bare"] = others[-1].counted() / fallback.seconds
    figures: dict[str, Any] = {"documents": counts["documents"], "tokens": counts["tokens"], "workers": place.workers}
    figures["seconds"] = {side.name: round(side.seconds, 3) for side in sides if side.runs}
    figures["peak MB"] = {row["side"]: row["peak MB"] for row, side in zip(rows, sides, strict=True) if side.runs}
    title = f"{counts['documents']:,} documents, {counts['tokens']:,} tokens, {place.workers} workers"
    show(title, rows, ratios=ratios, figures=figures)


def _row(side: Side, count: int, tokens: bytes) -> dict[str, Any]:
    if not side.runs:
        blank = dict.fromkeys(("seconds", "own count, s", "peak MB", "tokens/s"), "-")
        return {"side": side.name} | blank | {"same": side.missing}
    counted = side.counted()
    return {
        "side": side.name,
        "seconds": round(side.seconds, 2),
        "own count, s": "-" if counted is None else round(counted, 2),
        "peak MB": round(max(run.peak for run in side.runs) / 1e6),
        "tokens/s": f"{count / side.seconds:,.0f}",
        "same": ("yes" if side.tokens() == tokens else "NO") if side.output else "-",
    }


if __name__ == "__main__":
    main()
