"""The engine in this process: what it draws, when it ends, and that nobody's answer depends on anybody else's."""

import json
import pickle
from collections import Counter

import pytest

from data_tools.errors import InputError
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.engines.codec import Codec
from data_tools.synthesis.requests import Answer, Request, Sampling
from tests.data_tools.synthesis.tiny_model import CONTEXT, TEMPLATE, VOCABULARY, tiny_model

SHORT = Sampling(max_tokens=12)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def requests(count, *, sampling=SHORT, salt=1):
    """Prompts of other lengths, each with an id and so a seed of its own."""
    for number in range(count):
        prompt = tuple((number * 31 + place * 7) % VOCABULARY for place in range(1 + number * 5 % 23))
        yield Request(f"{number * 7919 + salt:08x}" + "0" * 24, prompt, sampling)


def ask(model, asked, **settings):
    """Answers by request, as a driver gets them that keeps the engine full."""
    engine = EngineChoice(model=str(model), **settings).open()
    waiting, under_way, answers = list(asked), 0, {}
    while waiting or under_way:
        while waiting and under_way < engine.capacity:
            engine.submit(waiting.pop(0))
            under_way += 1
        for request, answer in engine.collect():
            assert request.id not in answers
            answers[request.id] = answer
            under_way -= 1
    engine.close()
    return answers


def test_an_answer_does_not_depend_on_the_requests_beside_it(model):
    asked = list(requests(20)) + list(requests(6, sampling=Sampling(0.7, 0.8, 30), salt=2))
    alone = ask(model, asked, batch=1)
    assert ask(model, asked[::-1], batch=7) == alone
    assert ask(model, asked, batch=64) == alone
    assert len({answer.text for answer in alone.values()}) > 20


def test_another_seed_gives_another_answer_and_temperature_0_the_likeliest(model):
    def texts(salt, sampling):
        return [answer.text for answer in ask(model, requests(5, salt=salt, sampling=sampling), batch=5).values()]

    assert texts(1, SHORT) != texts(2, SHORT)
    assert texts(1, Sampling(0, 1, 12)) == texts(2, Sampling(0, 0.1, 12))


def test_rows_of_one_batch_may_be_drawn_in_different_ways(model):
    greedy = list(requests(4, sampling=Sampling(0, 1, 12)))
    hot = list(requests(4, sampling=Sampling(1.5, 0.9, 20), salt=3))
    assert ask(model, greedy + hot, batch=8) == ask(model, greedy, batch=4) | ask(model, hot, batch=4)


@pytest.mark.parametrize(
    ("sampling", "share"),
    [
        (Sampling(1, 1), [0.4, 0.3, 0.15, 0.1, 0.05]),
        (Sampling(2, 1), [0.2973, 0.2575, 0.1821, 0.1487, 0.1051]),  # square roots, made to sum up to 1
        (Sampling(1, 0.8), [0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0]),  # up to the token that reaches 0.8
        (Sampling(1, 0.4), [1, 0, 0, 0, 0]),
        (Sampling(0, 1), [1, 0, 0, 0, 0]),
    ],
)
def test_tokens_are_drawn_with_the_shares_that_temperature_and_top_p_give_them(sampling, share):
    import torch

    from data_tools.synthesis.engines.decoding import draw

    draws = 40_000
    logits = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05]).log().repeat(draws, 1)
    drawn = draw(logits, [sampling] * draws, [torch.Generator().manual_seed(5)] * draws)
    counts = Counter(drawn.tolist())
    found = [counts[token] / draws for token in range(5)]
    assert found == pytest.approx(share, abs=4 * (0.25 / draws) ** 0.5)  # four standard deviations at most


def test_an_answer_ends_at_any_end_token_and_says_so(model, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    prompt = (5, 6, 7, 8)
    with torch.no_grad():
        loaded = AutoModelForCausalLM.from_pretrained(model)
        free = loaded.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=None)
    ids = free[0, 4:].tolist()
    codec = Codec(model)
    request = Request("0" * 32, prompt, Sampling(0, 1, 12))
    assert ask(model, [request]) == {request.id: Answer(codec.decode(ids), "length", 4, 12)}
    ending = tiny_model(tmp_path / "ending")
    (ending / "generation_config.json").write_text(json.dumps({"eos_token_id": [VOCABULARY - 1, ids[5]]}))
    first = ids.index(ids[5])
    assert ask(ending, [request]) == {request.id: Answer(codec.decode(ids[:first]), "stop", 4, first)}


def test_an_answer_is_cut_where_the_context_ends_and_a_prompt_without_room_is_refused(model):
    near = Request("0" * 32, (3,) * (CONTEXT - 5), SHORT)
    full = Request("1" * 32, (3,) * CONTEXT, SHORT)
    empty = Request("2" * 32, (), SHORT)
    answers = ask(model, [near, full, empty], batch=2)
    assert (answers[near.id].finish, answers[near.id].tokens) == ("length", 5)
    assert answers[full.id].finish == "refused"
    assert f"{CONTEXT} tokens" in answers[full.id].text
    assert answers[empty.id].text == "the prompt is empty"


def test_a_text_is_what_the_user_of_a_chat_model_says_and_without_a_template_it_stands_as_it_is(model, tmp_path):
    tokenizer = Codec(model)
    assert tokenizer.decode(tokenizer.encode("select a  row\n")) == "select a  row\n"
    chat = tiny_model(tmp_path / "chat")
    settings = json.loads((chat / "tokenizer_config.json").read_text())
    (chat / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TEMPLATE}))
    with_template = Codec(chat)
    assert with_template.decode(with_template.encode("select")) == "[user] select [answer]"


def test_a_model_of_ours_with_a_sentencepiece_tokenizer_gives_text_with_spaces(tmp_path):
    folder = tiny_model(tmp_path / "ours", tokenizer="sentencepiece")
    codec = Codec(folder)
    assert codec.decode(codec.encode("select  from\n é")) == "select  from\n é"
    assert codec.ends == {1}
    (answer,) = ask(folder, [Request("3" * 32, "select from", Sampling(1, 0.9, 40))]).values()
    assert "\u2581" not in answer.text


def test_ids_that_the_model_does_not_have_are_refused_before_it_is_asked(model):
    engine = EngineChoice(model=str(model)).open()
    with pytest.raises(InputError, match=f"found token {VOCABULARY}, expected ids below {VOCABULARY}"):
        engine.submit(Request("0" * 32, (1, VOCABULARY), SHORT))


def test_a_model_is_known_by_its_content_and_not_by_its_path(model, tmp_path):
    same, other = tiny_model(tmp_path / "same"), tiny_model(tmp_path / "other")
    (other / "generation_config.json").write_text("{}")
    name, known = EngineChoice(model=str(model)).generator()
    assert name == "tiny"
    assert EngineChoice(model=str(same), kind="vllm").generator() == ("same", known)
    assert EngineChoice(model=str(other)).generator()[1] != known


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "gguf"}, "one of transformers, vllm, server"),
        ({"batch": 0}, "--batch"),
        ({"kind": "server"}, "--url"),
        ({"model": "nowhere"}, "no config.json"),
    ],
)
def test_a_choice_that_can_not_be_opened_is_refused_with_what_to_do(model, settings, words):
    choice = pickle.loads(pickle.dumps(EngineChoice(**{"model": str(model)} | settings)))
    with pytest.raises(InputError, match=words):
        choice.open()
    with pytest.raises(InputError, match=words):
        choice.generator()
