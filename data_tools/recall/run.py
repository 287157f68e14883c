"""Fact recall of one model: questions -> its answers, and how many of them are right.

    questions ─▶ prompts (with examples; with retrieved documents) ─▶ engine ─▶ ledger ─▶ scores ─▶ judge

Closed-book, a model has nothing but what it learnt; with documents of a corpus at hand (RAG) it is the reference that
training on them is measured against. Answers are taken greedily. What a judge can't be understood to say is counted,
and its answer taken for wrong.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_tools.corpus.manifest import Manifest, run_step
from data_tools.errors import InputError
from data_tools.files import content_hash, text_hash
from data_tools.lines import write_lines
from data_tools.recall.asking import ask_all, continued
from data_tools.recall.prompting import Templates, answer_of, judged, shown, verdict_of
from data_tools.recall.questions import Question, QuestionSet
from data_tools.recall.retrieval import Passages, Retrieval, fitted, retrieve, stands_in
from data_tools.recall.scoring import exact_match, f1, mean, require_rules, share
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.recipe import Draft
from data_tools.synthesis.requests import Prompt, Sampling
from data_tools.text.tokenizer import Tokenizer, model_file

STEP = "recall"
ANSWERS = "answers.jsonl"
CLOSED_BOOK, RAG = "closed_book", "rag"


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A model that reads the answers of another one."""

    engine: EngineChoice
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=256)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How questions are asked and answers compared."""

    templates: Templates = field(default_factory=Templates)
    sampling: Sampling = Sampling(temperature=0.0, max_tokens=32)
    """Greedy; an answer that goes on after its first line is cut there anyway."""
    rules: str = "squad"
    """One of `scoring.RULES`."""
    tokenizer: Path | None = None
    """Prompts go out as its token ids, which every model continues. None: as texts, in the template of a chat model."""

    def settings(self) -> dict[str, Any]:
        """What decides prompts and scores."""
        templates = {part.name: getattr(self.templates, part.name).text for part in dataclasses.fields(self.templates)}
        tokenizer = content_hash(model_file(self.tokenizer)) if self.tokenizer else None
        sampling = dataclasses.asdict(self.sampling)
        return {"rules": self.rules, "sampling": sampling, "templates": templates, "tokenizer": tokenizer}


def recall(
    questions: QuestionSet,
    output: Path,
    *,
    engine: EngineChoice,
    asking: Asking,
    ledger: Path,
    retrieval: Retrieval | None = None,
    judge: Judge | None = None,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Ask a model all questions, closed-book and, with `retrieval`, with documents too.

    Args:
        questions: what is asked, and the examples.
        output: folder to make: `answers.jsonl`, a row a question. The manifest's counts hold the scores.
        engine: the model.
        asking: templates, sampling, rules.
        ledger: folder of all answers, of models and judges; it may be shared by many runs.
        retrieval: where documents are looked for. None: closed-book only.
        judge: who judges answers beside the rules. None: nobody.
        replace: remove an output that other questions or settings made; the ledger stays.
        progress: called with (prompts answered, prompts in all), of the model and then of the judge.

    Raises:
        InputError: an input or a model can't be used.
        EndedEarly: an engine failed; what was answered is kept.
    """
    require_rules(asking.rules)
    _require_countable(engine, asking)
    name, content = engine.generator()

    def build(scratch: Path) -> dict[str, Any]:
        prompts, found = _prompts(questions, engine, asking, retrieval)
        texts = [prompt for mode in prompts.values() for prompt in mode]
        drafts = iter(ask_all(texts, sampling=asking.sampling, engine=engine, ledger=ledger, progress=progress))
        scored = {
            mode: [_scored(question, next(drafts), asking.rules) for question in questions.asked] for mode in prompts
        }
        if judge:
            _judge(questions.asked, scored, asking, judge, ledger, progress)
        for row, documents in zip(scored.get(RAG, ()), found, strict=True):
            row |= documents
        write_lines(scratch / ANSWERS, _rows(questions.asked, scored))
        counts = {"questions": len(questions.asked), "examples": len(questions.examples)}
        malformed = {"malformed": questions.malformed} if questions.malformed else {}
        return counts | malformed | {mode: _counted(rows) for mode, rows in scored.items()}

    inputs = {"questions": questions.path}
    if retrieval:
        inputs |= {"corpus": retrieval.corpus, "vectors": retrieval.vectors}
    settings = {
        "model": {"name": name, "hash": content}, "asked": _hash_of(questions.asked),
        "examples": _hash_of(questions.examples), **asking.settings(),
        "retrieval": retrieval.settings() | {"context": engine.context} if retrieval else None,
        "judge": {"model": judge.engine.generator(), **dataclasses.asdict(judge.sampling)} if judge else None,
    }  # fmt: skip
    return run_step(output, step=STEP, inputs=inputs, settings=settings, build=build, replace=replace)


def _hash_of(questions: Sequence[Question]) -> str:
    return text_hash(json.dumps([dataclasses.astuple(question) for question in questions]))


def _prompts(
    questions: QuestionSet, engine: EngineChoice, asking: Asking, retrieval: Retrieval | None
) -> tuple[dict[str, list[Prompt]], list[dict[str, Any]]]:
    """The prompts of each way to ask, and what was retrieved for each question."""
    examples = shown(questions.examples)

    def encoded(texts: Sequence[str]) -> list[Prompt]:
        return continued(texts, asking.tokenizer) if asking.tokenizer else list(texts)

    plain = asking.templates.closed_book
    prompts = {
        CLOSED_BOOK: encoded([plain.fill(question=question.text, examples=examples) for question in questions.asked])
    }
    if retrieval is None:
        return prompts, []
    tokenizer, too_many = Tokenizer.load(retrieval.corpus), _room(engine, asking)
    prompts[RAG], found = [], []
    passages = retrieve([question.text for question in questions.asked], retrieval)
    for question, near in zip(questions.asked, passages, strict=True):

        def fill(documents: str, question: Question = question) -> Prompt:
            values = {"question": question.text, "documents": documents, "examples": examples}
            return encoded([asking.templates.rag.fill(**values)])[0]

        prompt, documents = fitted(near, tokenizer, fill, too_many)
        prompts[RAG].append(prompt)
        found.append(_found(near, stands_in(documents, question.answers, asking.rules)))
    return prompts, found


def _found(passages: Passages, holds_answer: bool) -> dict[str, Any]:
    similarities = [round(value, 4) for value in passages.similarities]
    return {"documents": list(passages.names), "similarities": similarities, "in_documents": float(holds_answer)}


def _require_countable(engine: EngineChoice, asking: Asking) -> None:
    if engine.kind == "server" and engine.context is not None and asking.tokenizer is None:
        raise InputError(
            where="--context", found="a server that is given texts, whose tokens can't be counted here",
            expected="its model's tokenizer", fix="Name it with --tokenizer, or show less with --passage-tokens.",
        )  # fmt: skip


def _room(engine: EngineChoice, asking: Asking) -> Callable[[Prompt], int]:
    """Tells by how many tokens a prompt is too long for the model and an answer; of a server by --context alone."""
    if engine.kind == "server":
        context, length = engine.context, len
    else:
        from data_tools.synthesis.engines.codec import Codec

        codec = Codec(Path(engine.model))
        context = engine.context or codec.context

        def length(prompt: Prompt) -> int:
            return len(codec.encode(prompt))

    return lambda prompt: -1 if context is None else length(prompt) + asking.sampling.max_tokens - context


def _scored(question: Question, draft: Draft, rules: str) -> dict[str, Any]:
    answer = answer_of(draft.text)
    return {
        "answer": answer, "said": draft.text, "refused": draft.fault == "refused",
        "cut": draft.truncated and "\n" not in draft.text.strip(),
        "exact_match": exact_match(answer, question.answers, rules), "f1": f1(answer, question.answers, rules),
    }  # fmt: skip


def _judge(
    asked: Sequence[Question],
    scored: dict[str, list[dict[str, Any]]],
    asking: Asking,
    judge: Judge,
    ledger: Path,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Add `judged` to every row: 1.0, 0.0, or None where the verdict can't be read. An empty answer is not shown."""
    rows = [pair for mode in scored.values() for pair in zip(asked, mode, strict=True) if pair[1]["answer"]]
    prompts = [judged(asking.templates.judge, question, row["answer"]) for question, row in rows]
    for mode in scored.values():
        for row in mode:
            row["judged"] = 0.0
    if not prompts:
        return
    drafts = ask_all(prompts, sampling=judge.sampling, engine=judge.engine, ledger=ledger, progress=progress)
    for (_, row), draft in zip(rows, drafts, strict=True):
        verdict = verdict_of(draft.text)
        row["judged"] = None if verdict is None else float(verdict)


def _counted(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means with their intervals, and how many answers were no answers."""
    counted = {
        "exact_match": dataclasses.asdict(share([row["exact_match"] for row in rows])),
        "f1": dataclasses.asdict(mean([row["f1"] for row in rows])),
    }
    if "judged" in rows[0]:
        counted["judged"] = dataclasses.asdict(share([row["judged"] or 0.0 for row in rows]))
        counted["unparsable"] = sum(row["judged"] is None for row in rows)
    if "in_documents" in rows[0]:
        counted["in_documents"] = dataclasses.asdict(share([row["in_documents"] for row in rows]))
    return counted | {
        "empty": sum(not row["answer"] and not row["refused"] for row in rows),
        "cut": sum(row["cut"] for row in rows), "refused": sum(row["refused"] for row in rows),
    }  # fmt: skip


def _rows(asked: Sequence[Question], scored: dict[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    for number, question in enumerate(asked):
        modes = {mode: rows[number] for mode, rows in scored.items()}
        yield {"question": question.text, "answers": list(question.answers), "place": question.place, **modes}
