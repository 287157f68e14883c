"""How far a judge can be trusted: what it says of texts whose verdicts are known, by the prompts of `quality`.

    python benchmarks/judge.py models/smollm2
    python benchmarks/judge.py models/smollm2 --by answer --short
    python benchmarks/judge.py meta-llama/Llama-3.1-8B-Instruct --url http://gpu7:8000/v1 --by answer

The texts are in examples/quality/known_verdicts.yaml: of each subject a source, and texts that are faithful, copied,
unrelated, wrong, repetitive or a matter of taste. For each measure: texts with the fault that were found, others that
were taken for it, answers that couldn't be read, and the agreement, which is the mean of the share of the faulty that
were found and the share of the others that were let pass: 50 % is guessing.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.support import show  # noqa: E402
from data_tools.errors import InputError  # noqa: E402
from data_tools.files import text_hash  # noqa: E402
from data_tools.quality.judge import VERDICTS, Criterion, criteria, packaged  # noqa: E402
from data_tools.synthesis.engines.choice import EngineChoice  # noqa: E402
from data_tools.synthesis.requests import Answer, Ask, Request, Sampling, request_of  # noqa: E402

TEXTS = ROOT / "examples" / "quality" / "known_verdicts.yaml"
FAULTS = {
    "copy": {"pair_copying": "copy"},
    "unrelated": {"pair_irrelevance": "unrelated"},
    "wrong": {"non_factual": "wrong"},
    "repetitive": {"repetition_judged": "repetitive"},
    "opinion": {"non_factual": "unverifiable"},
}
"""Kind of text -> what it should be found to be; of anything else it should be found free."""
UNSURE = {("unrelated", "non_factual"), ("repetitive", "non_factual"), ("opinion", "pair_irrelevance")}
"""Kinds of which one may say either."""
FREE = {
    "non_factual": "correct", "pair_irrelevance": "related", "pair_copying": "different", "repetition_judged": "varied",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A text, and what has to be said of it."""

    kind: str
    source: str
    document: str
    truth: dict[str, str]
    """Measure -> verdict."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="Hugging Face folder, or a server's name of its model")
    parser.add_argument("--url", default="", help="of a server")
    parser.add_argument("--by", choices=["answer", "likelihood"], default="likelihood")
    parser.add_argument("--short", action="store_true", help="ask for the verdict only, also --by answer")
    arguments = parser.parse_args()
    choice = EngineChoice(model=arguments.model, kind="server" if arguments.url else "transformers", url=arguments.url)
    templates = {measure: packaged(measure, "likelihood") for measure in VERDICTS} if arguments.short else {}
    asked = criteria(pairs=True, templates=templates, by=arguments.by)
    try:
        said = list(verdicts(choice, asked, list(cases())))
    except InputError as error:
        sys.exit(str(error))
    rows = [row_of(criterion, said) for criterion in asked]
    title = f"{Path(arguments.model).name}, by {arguments.by}{', short prompts' if arguments.short else ''}"
    show(title, rows, ratios={row["measure"]: row["agreement"] for row in rows}, figures={"judge": rows})


def cases() -> Iterator[Case]:
    """The texts of the file: a copy is the source itself, an unrelated one what is told of the next subject."""
    subjects = yaml.safe_load(TEXTS.read_text())
    for number, subject in enumerate(subjects):
        texts = subject | {"copy": subject["source"], "unrelated": subjects[(number + 1) % len(subjects)]["retold"]}
        source = texts.pop("source")
        for kind, document in texts.items():
            truth = {name: word for name, word in (FREE | FAULTS.get(kind, {})).items() if (kind, name) not in UNSURE}
            yield Case(kind, source, document, truth)


def verdicts(
    choice: EngineChoice, asked: tuple[Criterion, ...], texts: list[Case]
) -> Iterator[tuple[str, str, str | None]]:
    """(measure, truth, what was said; None if it couldn't be read) of every text of which the truth is known."""
    sampling, questions = Sampling(temperature=0.0, max_tokens=512), list[tuple[Case, Criterion, list[Request]]]()
    for case in texts:
        for criterion in (each for each in asked if each.measure in case.truth):
            asks = criterion.asks(sampling, document=case.document, source=case.source)
            questions.append((case, criterion, [_request(case, ask) for ask in asks]))
    answers = answered(choice, [request for _, _, own in questions for request in own])
    for case, criterion, own in questions:
        draft = criterion.draft([answers[request.id] for request in own])
        yield criterion.measure, case.truth[criterion.measure], criterion.verdict(draft.text)


def answered(choice: EngineChoice, requests: list[Request]) -> dict[str, Answer]:
    """Answers by the id of their request."""
    engine, found = choice.open(), dict[str, Answer]()
    waiting, under_way = list({request.id: request for request in requests}.values()), 0
    while waiting or under_way:
        while waiting and under_way < engine.capacity:
            engine.submit(waiting.pop())
            under_way += 1
        for request, answer in engine.collect():
            under_way -= 1
            if not isinstance(answer, Answer):
                raise InputError(
                    where=choice.model, found=answer.reason, expected="an answer", fix="Run it again."
                )  # fmt: skip
            found[request.id] = answer
    engine.close()
    return found


def row_of(criterion: Criterion, said: list[tuple[str, str, str | None]]) -> dict[str, Any]:
    """What the judge made of a measure."""
    own = Counter((truth == criterion.fault, word) for measure, truth, word in said if measure == criterion.measure)
    faulty, others = (sum(count for (fault, _), count in own.items() if fault is kind) for kind in (True, False))
    found, blamed = own[True, criterion.fault], own[False, criterion.fault]
    unread = own[True, None] + own[False, None]
    passed = others - blamed - own[False, None]
    return {
        "measure": criterion.measure, "found": f"{found} of {faulty}", "blamed": f"{blamed} of {others}",
        "unread": f"{unread} of {faulty + others}", "agreement": (found / faulty + passed / others) / 2,
    }  # fmt: skip


def _request(case: Case, ask: Ask) -> Request:
    return request_of(ask, recipe="judge", version=1, document=text_hash(case.document), draw=0, generator="")


if __name__ == "__main__":
    main()
