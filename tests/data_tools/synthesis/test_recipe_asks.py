"""What each recipe asks, and what it makes of answers, good and bad."""

import pytest

from data_tools.corpus.groups import KINDS
from data_tools.errors import InputError
from data_tools.synthesis.recipe import PROMPTS, Prompt
from data_tools.synthesis.recipes import RECIPES
from data_tools.synthesis.recipes.active_reading import ActiveReading
from data_tools.synthesis.recipes.focal import Focal
from data_tools.synthesis.recipes.latent_thoughts import LatentThoughts, cuts_of
from data_tools.synthesis.recipes.paraphrase import Paraphrase
from data_tools.synthesis.recipes.qa import QA
from data_tools.synthesis.recipes.repeat import Repeat
from data_tools.synthesis.recipes.rephrase import Rephrase
from data_tools.synthesis.recipes.sbp import SBP
from data_tools.synthesis.requests import Answer, request_of
from tests.recipes import play, seed_of, tokenizer, written

SEED = seed_of("vacuum reclaims the space of dead rows")
REFUSED = Answer("this prompt has 9,000 tokens", "refused")


def ids_of(asks):
    return [request_of(ask, recipe="r", version=1, document=SEED.hash, draw=0, generator="g").id for ask in asks]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_without_settings_is_ready_and_makes_documents_of_a_known_kind(name):
    recipe = RECIPES[name]()
    assert recipe.name == name
    assert recipe.kind in KINDS


@pytest.mark.parametrize("path", sorted(PROMPTS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_packaged_template_can_be_read_and_belongs_to_a_recipe_or_to_recall(path):
    assert Prompt.of(path.stem) == Prompt.of(path)
    assert path.stem.startswith((*RECIPES, "recall-", "judge-", "concepts"))


def test_sbp_continues_the_tokens_of_the_seed_with_the_token_that_ends_it():
    [asks], drafts = play(SBP(), SEED, written("d2"))
    assert asks[0].prompt == SEED.ids
    assert asks[0].prompt[-1] == tokenizer().eos
    assert (asks[0].sampling.temperature, asks[0].sampling.top_p) == (1.0, 0.9)
    assert [draft.text for draft in drafts] == ["d2"]


def test_each_of_several_documents_of_a_seed_is_asked_for_on_its_own():
    [asks], drafts = play(SBP(variants=3), SEED, written("a", "b", "c"))
    assert len(set(ids_of(asks))) == 3
    assert [draft.text for draft in drafts] == ["a", "b", "c"]


def test_a_document_that_was_cut_at_the_length_limit_says_so():
    for recipe in (SBP(), Rephrase()):
        assert play(recipe, SEED, written("d2", finish="length"))[1][0].truncated


@pytest.mark.parametrize("recipe", [SBP(), Rephrase(), LatentThoughts(thoughts=1), ActiveReading(), QA(), Focal()])
def test_a_prompt_that_the_engine_refuses_makes_no_document_and_keeps_the_reason(recipe):
    [draft] = play(recipe, SEED, [REFUSED])[1]
    assert draft.fault == "refused"
    assert draft.text == REFUSED.text


def test_variants_of_a_document_are_asked_with_one_prompt_and_other_seeds():
    [asks], drafts = play(Rephrase(variants=3), SEED, written("a", "Here is a paraphrased version:\n\nb", "c"))
    assert len({ask.prompt for ask in asks}) == 1
    assert len(set(ids_of(asks))) == 3
    assert SEED.text in asks[0].prompt
    assert [draft.text for draft in drafts] == ["a", "b", "c"]


def test_more_variants_ask_again_for_none_of_those_that_are_there():
    few, many = (play(Rephrase(variants=n), SEED, written(*"abcde"[:n]))[0][0] for n in (2, 5))
    assert ids_of(many)[:2] == ids_of(few)


def test_a_style_is_a_template_and_asks_something_else():
    wiki, terse = (Rephrase(template=Prompt.of(f"rephrase-{style}")) for style in ("wikipedia", "terse"))
    assert ids_of(play(wiki, SEED, written("a"))[0][0]) != ids_of(play(terse, SEED, written("a"))[0][0])


def test_paraphrases_are_asked_as_rephrasings_are_with_a_template_of_their_own():
    [[ask]], [draft] = play(Paraphrase(), SEED, written("Paraphrase: b"))
    assert ask.prompt.startswith("Paraphrase the following text")
    assert draft.text == "b"
    assert (Paraphrase.name, Paraphrase.kind) == ("paraphrase", "paraphrase")


def test_repeating_asks_nothing_and_gives_the_document_as_it_is():
    asked, drafts = play(Repeat(variants=2), SEED)
    assert not asked
    assert [draft.text for draft in drafts] == [SEED.text] * 2


@pytest.mark.parametrize(("tokens", "cuts"), [(10, 4), (11, 2), (1000, 32), (7, 6), (5, 9)])
def test_fragments_between_thoughts_are_equal_to_a_token_and_lose_none(tokens, cuts):
    places = cuts_of(tokens, cuts)
    lengths = [after - before for before, after in zip([0, *places], [*places, tokens], strict=True)]
    assert sum(lengths) == tokens
    assert max(lengths) - min(lengths) <= 1
    assert len(places) == min(cuts, tokens - 1)


def test_a_document_of_one_token_has_no_thoughts():
    assert cuts_of(1, 4) == cuts_of(0, 4) == []


def test_a_thought_stands_in_tags_at_its_place_between_what_it_was_shown():
    seed = seed_of(" ".join(f"word{n}" for n in range(40)))
    recipe = LatentThoughts(thoughts=3, before=10, after=5, open_tag="[", close_tag="]")
    [asks], drafts = play(recipe, seed, written("first", "  second ", ""))
    content = seed.ids[:-1]
    for ask, draft in zip(asks, drafts, strict=True):
        assert seed.tokenizer.decode(content[draft.position - 10 : draft.position]) in ask.prompt
        assert seed.tokenizer.decode(content[draft.position : draft.position + 5]) in ask.prompt
        assert seed.text not in ask.prompt
    assert [draft.position for draft in drafts] == [len(content) * n // 4 for n in (1, 2, 3)]
    assert [draft.text for draft in drafts] == ["[first]", "[second]", ""]


def test_a_cut_through_a_character_shows_no_half_of_it():
    seed = seed_of("äöüß€" * 20)
    [asks], _ = play(LatentThoughts(thoughts=7), seed, written(*"abcdefg"))
    assert not any("\ufffd" in ask.prompt for ask in asks)


PLAN = """Here are some strategies:
## Timeline
Order the events.
### Detail
Each with its year.
## Song
Make a song.
## Timeline
Order the events.
### Detail
Each with its year."""


def test_each_strategy_is_applied_to_the_document_on_its_own_and_once():
    asked, drafts = play(ActiveReading(), SEED, written(PLAN), written("a timeline", "Sure! a song"))
    assert [ask.about for ask in asked[1]] == [
        "strategy=Timeline\nOrder the events.\n### Detail\nEach with its year.", "strategy=Song\nMake a song.",
    ]  # fmt: skip
    assert all(SEED.text in ask.prompt for asks in asked for ask in asks)
    assert [draft.text for draft in drafts] == ["a timeline", "a song"]


def test_strategies_for_a_task_are_what_follows_the_marker():
    plan = "## Is this a question?\nYes.\n<start_strategies>\n" + PLAN
    asked, _ = play(ActiveReading(task="answer a quiz", most=1), SEED, written(plan), written("a timeline"))
    assert "answer a quiz" in asked[0][0].prompt
    assert [ask.about.splitlines()[0] for ask in asked[1]] == ["strategy=Timeline"]


def test_a_strategy_that_only_repeats_the_form_is_none():
    form = "## Name of the strategy\nWhat to write, in one or two sentences."
    assert form in ActiveReading().plan.text
    [draft] = play(ActiveReading(), SEED, written(form + "\n\n## Name of the strategy"))[1]
    assert draft.fault == "malformed"


def test_a_plan_without_strategies_is_malformed():
    for recipe in (ActiveReading(), Focal()):
        [draft] = play(recipe, SEED, written("I can't think of any."))[1]
        assert draft.fault == "malformed"


def test_a_focal_document_is_asked_for_each_question_and_no_more_than_wanted():
    plan = "Here are 3 questions:\n1. What is a row?\n2. Why vacuum?\n3. What is a row?\n4. When?"
    asked, drafts = play(Focal(questions=2), SEED, written(plan), written("rows", "vacuum"))
    assert [ask.about for ask in asked[1]] == ["question=What is a row?", "question=Why vacuum?"]
    assert (asked[1][0].sampling.temperature, asked[1][0].sampling.top_p) == (0.7, 0.95)
    assert [draft.text for draft in drafts] == ["rows", "vacuum"]


LIST = "Question: What is a row?\nAnswer: A line.\nExplanation: So it is.\n\nQuestion: Why?\nAnswer: Because."


def test_each_question_becomes_a_document_and_one_that_lacks_a_part_is_malformed():
    drafts = play(QA(), SEED, written(LIST))[1]
    assert drafts[0].text == "Question: What is a row?\nAnswer: A line.\nExplanation: So it is."
    assert [draft.fault for draft in drafts] == ["", "malformed"]


def test_a_question_that_a_model_repeats_with_its_answer_is_one_document():
    drafts = play(QA(variants=2), SEED, written(LIST + "\n\n" + LIST, LIST))[1]
    assert [draft.fault for draft in drafts] == ["", "malformed"]


def test_a_layout_without_explanations_needs_none():
    drafts = play(QA(layout=Prompt("$question -> $answer")), SEED, written(LIST))[1]
    assert [draft.text for draft in drafts] == ["What is a row? -> A line.", "Why? -> Because."]


def test_only_the_last_question_of_an_answer_that_was_cut_is_truncated():
    drafts = play(QA(), SEED, written(LIST + "\nExplanation: It", finish="length"))[1]
    assert [draft.truncated for draft in drafts] == [False, True]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Rephrase(variants=0), "variants"),
        (lambda: LatentThoughts(thoughts=0), "thoughts"),
        (lambda: ActiveReading(most=0), "most"),
        (lambda: Rephrase(template=Prompt("Say $document as $style")), r"\$style"),
        (lambda: QA(layout=Prompt("$question only")), "question only"),
        (lambda: ActiveReading(task="quiz", plan=Prompt("Read $document")), r"\$task"),
        (lambda: Prompt.of("no-such-template"), "rephrase-wikipedia"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(make, named):
    with pytest.raises(InputError, match=named):
        make()
