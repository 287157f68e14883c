"""The corpora of configs/experiments/megadocs_small.yaml, made of the embedded one.

    python examples/megadocs_corpora.py                  seconds, without a model
    python examples/megadocs_corpora.py --model MODEL    written by a model: a Hugging Face folder, an hour on a laptop
    python examples/megadocs_corpora.py --model NAME --url http://127.0.0.1:8000/v1        written by a server's model

Without a model a "rephrasing" is two thirds of a document's sentences in another order, and a "thought" names long
words of what comes next. They show how a comparison runs, and not what rephrasings are worth. Whatever is there
already stays; another model makes the two corpora anew.
"""

import argparse
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from data_tools.corpus.manifest import Manifest  # noqa: E402
from data_tools.steps.clean import clean  # noqa: E402
from data_tools.steps.split import split  # noqa: E402
from data_tools.steps.tokenize import tokenize  # noqa: E402
from data_tools.synthesis.engines.choice import EngineChoice  # noqa: E402
from data_tools.synthesis.engines.no_model import NoModel  # noqa: E402
from data_tools.synthesis.filters import Filters  # noqa: E402
from data_tools.synthesis.recipe import Draft, Recipe, Seed, Steps  # noqa: E402
from data_tools.synthesis.recipes.latent_thoughts import LatentThoughts, cuts_of  # noqa: E402
from data_tools.synthesis.recipes.rephrase import Rephrase  # noqa: E402
from data_tools.synthesis.requests import Sampling  # noqa: E402
from data_tools.synthesis.run import synthesize  # noqa: E402
from data_tools.text.training import train_tokenizer  # noqa: E402

CORPUS = ROOT / "examples" / "corpus"
VARIANTS = 4
VOCABULARY = 4096
KEPT_SENTENCES = 2 / 3
NAMED_WORDS = 6
ANSWER = Sampling(temperature=0.8, top_p=0.9, max_tokens=256)
"""Cooler than the paper's, since a model of a laptop's size wanders at 1; and its documents have 40 to 250 words."""


@dataclass(frozen=True, kw_only=True)
class Reordered:
    """Some of the sentences, in another order: what stands in for a rephrasing where there is no model."""

    name: ClassVar[str] = "reordered"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "paraphrase"
    draws: ClassVar[bool] = False
    variants: int = VARIANTS

    def write(self, seed: Seed) -> Steps:
        yield from ()
        sentences = re.split(r"(?<=[.!?:])\s+", seed.text)
        fewest = max(1, round(KEPT_SENTENCES * len(sentences)))
        chosen = (random.Random(f"{seed.hash} {n}").sample(sentences, fewest) for n in range(self.variants))
        return [Draft(text=" ".join(sentences)) for sentences in chosen]


@dataclass(frozen=True, kw_only=True)
class Reminders:
    """The longest words of what comes next, at equal distances: what stands in for thoughts."""

    name: ClassVar[str] = "reminders"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "thought"
    draws: ClassVar[bool] = False
    thoughts: int = VARIANTS

    def write(self, seed: Seed) -> Steps:
        yield from ()
        ids = seed.ids[:-1]
        cuts = cuts_of(len(ids), self.thoughts)
        coming = [
            seed.tokenizer.decode(ids[cut:end]).split() for cut, end in zip(cuts, [*cuts[1:], len(ids)], strict=True)
        ]
        named = (" ".join(sorted(dict.fromkeys(words), key=len, reverse=True)[:NAMED_WORDS]) for words in coming)
        return [Draft(text=f"<thought>{text}</thought>", position=cut) for text, cut in zip(named, cuts, strict=True)]


def make(work: Path, model: str | None, url: str = "") -> dict[str, Manifest]:
    """Make what isn't there; returns the manifests of the four corpora."""
    sources = sorted(CORPUS.glob("*.jsonl.zst"))
    clean(sources, work / "clean")
    split(work / "clean", work / "split", heldout_share=0.03, subset_share=0.015, seed=1234)
    train_tokenizer([work / "split" / "train"], work / "tokenizer", vocabulary=VOCABULARY)
    parts = {"real": "subset", "heldout": "heldout"}
    made = {name: tokenize([work / "split" / part], work / "tokenizer", work / name) for name, part in parts.items()}
    recipes: dict[str, Recipe] = (
        {"rephrased": Reordered(), "thoughts": Reminders()}
        if model is None
        else {
            "rephrased": Rephrase(variants=VARIANTS, sampling=ANSWER),
            "thoughts": LatentThoughts(thoughts=VARIANTS, sampling=ANSWER),
        }
    )
    engine = (
        NoModel() if model is None else EngineChoice(model=model, kind="server" if url else "transformers", url=url)
    )
    for name, recipe in recipes.items():
        # a small model seldom comes to an end by itself: without what is cut little would be left
        filters = Filters(apply=("empty",)) if model is None else Filters.of(recipe.name, skip=("truncated",))
        made[name] = synthesize(
            work / "real", work / name, recipe=recipe, engine=engine, filters=filters, replace=True,
        )  # fmt: skip
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "corpora" / "megadocs", help="default: %(default)s")
    parser.add_argument("--model", help="Hugging Face folder of an instruction model, or a server's name of it")
    parser.add_argument("--url", default="", help="OpenAI-compatible server that has it")
    given = parser.parse_args()
    for corpus, manifest in make(given.work, given.model, given.url).items():
        print(
            f"{given.work / corpus}: {manifest.counts['documents']:,} documents, {manifest.counts['tokens']:,} tokens"
        )
