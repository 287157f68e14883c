"""The driver of synthesis against its engines called directly, with one big batch: what keeping everything costs.

    python benchmarks/synthesis.py                      all that is installed here
    python benchmarks/synthesis.py --engines server     one of them: transformers, server, vllm
    python benchmarks/synthesis.py --quick              fewer requests

Ours is `synthesize` from the moment at which the model is loaded: until the last answer is in the ledger (`driver`),
and until the corpus is finished, filtered and encoded (`whole`). Directly, the same prompts are given to the library
itself (transformers' and vLLM's `generate`, httpx for the server) and the texts are thrown away. Both have the same
model loaded and the same number of requests in it at a time. They take turns; medians count. A ratio is ours / direct,
in tokens that the model wrote a second; `driver` without a name is the least of them.

`server` answers each request after a second, 64 at a time: 25,600 words a second, three times the tokens that the
paper had of one GPU. transformers and vLLM run SmolLM2-135M-Instruct (see smollm.py).
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers import direct  # noqa: E402
from benchmarks.smollm import smollm2  # noqa: E402
from benchmarks.support import median, show  # noqa: E402
from data_tools.steps.clean import clean  # noqa: E402
from data_tools.steps.tokenize import tokenize  # noqa: E402
from data_tools.synthesis.engines.choice import EngineChoice  # noqa: E402
from data_tools.synthesis.engines.codec import Codec  # noqa: E402
from data_tools.synthesis.engines.engine import Engine  # noqa: E402
from data_tools.synthesis.filters import Filters  # noqa: E402
from data_tools.synthesis.recipes.rephrase import Rephrase  # noqa: E402
from data_tools.synthesis.requests import Answer, Request, Sampling, Unanswered  # noqa: E402
from data_tools.synthesis.run import synthesize  # noqa: E402
from data_tools.text.training import train_tokenizer  # noqa: E402

LONGEST = 250
"""Tokens of a seed document: on a CPU longer ones would measure how prompts are read, not how text is written."""
PACE, AT_A_TIME = 1.0, 64
"""Seconds of an answer of the paced server, and requests that it has at a time."""

Once = Callable[[list[Request]], int]
"""The engine called directly; returns tokens."""


def forget_nothing() -> None:
    """Of an engine that keeps nothing from one turn to the next."""


@dataclass(eq=False)
class Watched:
    """An engine that stays open, and notes what goes through it."""

    engine: Any
    requests: list[Request] = field(default_factory=list)
    tokens: int = 0
    began: float = 0.0
    ended: float = 0.0

    def __post_init__(self):
        self.capacity = self.engine.capacity

    def submit(self, request: Request) -> None:
        self.requests.append(request)
        self.engine.submit(request)

    def collect(self) -> list[tuple[Request, Answer | Unanswered]]:
        answers = self.engine.collect()
        self.tokens += sum(answer.tokens for _, answer in answers if isinstance(answer, Answer))
        return answers

    def close(self) -> None:
        """The driver is done; the next turn needs the engine."""
        self.ended = time.monotonic()


@dataclass(frozen=True, kw_only=True)
class Loaded(EngineChoice):
    """An engine that is open already."""

    watched: Watched

    def open(self) -> Engine:
        self.watched.began = time.monotonic()
        return self.watched


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, help="default: all that are installed")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few requests, one turn: the figures say little")
    options = parser.parse_args()
    turns = 1 if options.quick else options.turns
    wanted = options.engines or [name for name in ENGINES if name != "vllm" or importlib.util.find_spec("vllm")]
    rows: list[dict[str, Any]] = []
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        corpus = _corpus(Path(folder))
        for name in wanted:
            with ENGINES[name](options.quick) as (engine, choice, once, forget, size):
                driver, whole, theirs = _turns(engine, choice, once, forget, corpus, turns, **size)
            for who, rates in (("driver", driver), ("whole", whole), ("direct", theirs)):
                shown = {"tokens a second": median(rates), "turns": " ".join(f"{rate:.0f}" for rate in rates)}
                rows.append({"engine": name, "who": who} | shown)
            ratios |= {
                f"{who}_{name}": median([a / b for a, b in zip(rates, theirs, strict=True)])
                for who, rates in (("driver", driver), ("whole", whole))
            }
    show(
        f"Tokens that the model wrote a second, median of {turns}", rows,
        ratios={"driver": min(ratios[f"driver_{name}"] for name in wanted)} | ratios, figures={"rows": rows},
    )  # fmt: skip


def _corpus(folder: Path) -> Path:
    """Short documents of the embedded corpus."""
    clean([ROOT / "examples" / "corpus"], folder / "clean")
    train_tokenizer([folder / "clean"], folder / "tokenizer", vocabulary=8192)
    tokenize([folder / "clean"], folder / "tokenizer", folder / "corpus", max_tokens=LONGEST)
    return folder / "corpus"


def _turns(
    engine: Any, choice: dict[str, Any], once: Once, forget: Callable[[], Any], corpus: Path, turns: int, *,
    documents: int, tokens: int, variants: int,
) -> tuple[list[float], list[float], list[float]]:  # fmt: skip
    """Tokens a second of the driver, of the whole and directly, turn by turn; who goes first changes with each."""
    driver, whole, theirs = [], [], []
    recipe = Rephrase(variants=variants, sampling=Sampling(max_tokens=tokens))
    requests: list[Request] = []

    def with_driver(turn: int) -> None:
        watched = Watched(engine)
        synthesize(
            corpus, corpus.with_name(f"{choice['kind']}-{turn}"), recipe=recipe, documents=documents,
            engine=Loaded(**choice, watched=watched), filters=Filters.of("rephrase", skip=["truncated"]),
        )  # fmt: skip
        whole.append(watched.tokens / (time.monotonic() - watched.began))
        driver.append(watched.tokens / (watched.ended - watched.began))
        requests[:] = watched.requests

    def directly(turn: int) -> None:
        began = time.monotonic()
        theirs.append(once(requests) / (time.monotonic() - began))

    for turn in range(turns):
        for side in (with_driver, directly) if turn % 2 == 0 else (directly, with_driver):
            forget()
            side(turn)
    return driver, whole, theirs


@contextmanager
def _transformers(quick: bool) -> Iterator[tuple[Any, ...]]:
    choice = {"model": str(smollm2()), "kind": "transformers", "batch": 16}
    engine, codec = EngineChoice(**choice).open(), Codec(smollm2())
    size = {"documents": 16 if quick else 48, "tokens": 16 if quick else 64, "variants": 1}
    yield engine, choice, lambda asked: direct.transformers(engine._model, codec, asked, 16), forget_nothing, size
    engine.close()


@contextmanager
def _vllm(quick: bool) -> Iterator[tuple[Any, ...]]:
    choice = {"model": str(smollm2()), "kind": "vllm", "batch": 32, "context": 1024, "memory": 0.3}
    engine, codec = EngineChoice(**choice).open(), Codec(smollm2())
    size = {"documents": 32 if quick else 192, "tokens": 16 if quick else 64, "variants": 1}
    # vLLM keeps what it has computed of a prompt: whoever comes second would be spared that.
    yield engine, choice, lambda asked: direct.vllm(engine._llm, codec, asked), engine._llm.reset_prefix_cache, size
    engine.close()


@contextmanager
def _server(quick: bool) -> Iterator[tuple[Any, ...]]:
    script = ROOT / "benchmarks" / "peers" / "paced_server.py"
    process = subprocess.Popen([sys.executable, str(script), str(PACE)], stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        choice = {"model": "paced", "kind": "server", "url": url, "concurrency": AT_A_TIME}
        engine = EngineChoice(**choice).open()
        size = {"documents": 320, "tokens": 1024, "variants": 1 if quick else 4}
        yield engine, choice, lambda asked: direct.server(url, "paced", asked, AT_A_TIME), forget_nothing, size
        engine.close()
    finally:
        process.kill()
        process.wait()


ENGINES = {"server": _server, "transformers": _transformers, "vllm": _vllm}


if __name__ == "__main__":
    main()
