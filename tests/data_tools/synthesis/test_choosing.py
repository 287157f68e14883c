"""Answers that a model weighs: each has the probability that the model gives it, whatever it is computed with."""

import json

import pytest

from data_tools.errors import InputError
from data_tools.synthesis.engines import openai_protocol as protocol
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.engines.codec import Codec
from data_tools.synthesis.requests import Ask, Request, Sampling, request_of
from tests.data_tools.synthesis.test_engine_server import Running
from tests.data_tools.synthesis.test_engine_transformers import ask
from tests.data_tools.synthesis.tiny_model import CONTEXT, tiny_model

CHOICES = ("insert", "delete from the table", "x")
SHORT = Sampling(max_tokens=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def weighings(count):
    prompts = ["select from where join " * (1 + number % 5) + f"number {number}" for number in range(count)]
    return [Request(f"{number:032x}", prompt, SHORT, CHOICES) for number, prompt in enumerate(prompts)]


def test_a_choice_has_the_log_probability_that_the_model_gives_its_tokens_behind_the_prompt(model):
    import torch
    from transformers import AutoModelForCausalLM

    loaded, codec = AutoModelForCausalLM.from_pretrained(model).eval(), Codec(model)
    for request, answer in ask(model, weighings(1) + weighings(7)[5:], batch=4).items():
        prompt = codec.encode(next(each.prompt for each in weighings(7) if each.id == request))
        expected = []
        for choice in CHOICES:
            ids = codec.encode(f"\n{choice}")
            with torch.no_grad():
                logprobs = loaded(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)
            expected.append(sum(float(logprobs[len(prompt) - 1 + place, token]) for place, token in enumerate(ids)))
        assert json.loads(answer.text) == pytest.approx(expected, abs=1e-3)
        assert (answer.finish, answer.prompt_tokens, answer.tokens) == ("stop", len(prompt), 0)


def test_weighing_and_writing_go_on_side_by_side_and_a_batch_changes_nothing(model):
    written = [Request("f" * 32, "select", SHORT), Request("e" * 32, "select a row", SHORT)]
    mixed = ask(model, [*weighings(5), *written, *weighings(9)[5:]], batch=4)
    assert mixed[written[0].id] == ask(model, written, batch=1)[written[0].id]
    for request, answer in ask(model, weighings(9), batch=1).items():
        assert json.loads(mixed[request].text) == pytest.approx(json.loads(answer.text), abs=1e-3)


def test_a_prompt_that_leaves_no_room_for_the_longest_choice_is_refused(model):
    codec = Codec(model)
    longest = max(len(codec.encode(f"\n{choice}")) for choice in CHOICES)
    fits = Request("1" * 32, (3,) * (CONTEXT - longest), SHORT, CHOICES)
    full = Request("2" * 32, (3,) * (CONTEXT - longest + 1), SHORT, CHOICES)
    answers = ask(model, [fits, full])
    assert [answers[each.id].finish for each in (fits, full)] == ["stop", "refused"]


def test_choices_make_another_request_and_none_leave_it_as_it_was():
    about = {"recipe": "r", "version": 1, "document": "d", "draw": 0, "generator": "g"}
    plain, one, other = (
        request_of(Ask("What?", "t", SHORT, choices=choices), **about) for choices in ((), ("a", "b"), ("b", "a"))
    )
    assert len({plain.id, one.id, other.id}) == 3
    assert one.choices == ("a", "b")
    assert plain.id == request_of(Ask("What?", "t", SHORT), **about).id


def told(*tokens):
    """What vLLM says of a prompt."""
    entries = [{name: {"logprob": logprob, "rank": 1, "decoded_token": name}} for name, logprob in tokens]
    return {"prompt_logprobs": [None, *entries]}


def test_of_a_server_choices_are_compared_from_the_first_token_on_that_differs():
    prompts = [
        protocol.prompt_logprobs(told(("17", -3.0), ("5", -1.0), ("8", -0.5))),
        protocol.prompt_logprobs(told(("17", -3.0), ("6", -2.0))),
    ]
    assert protocol.after_what_is_shared(prompts) == [-1.5, -2.0]
    with pytest.raises(protocol.NoAnswer):
        protocol.prompt_logprobs({"choices": []})


def test_a_server_that_does_not_say_how_likely_a_text_is_cannot_be_asked_to_weigh():
    server = Running()
    try:
        engine = EngineChoice(model="small", kind="server", url=f"http://127.0.0.1:{server.port}/good/v1").open()
        engine.submit(weighings(1)[0])
        with pytest.raises(InputError, match="no log-probabilities of the prompt"):
            engine.collect()
        engine.close()
    finally:
        server.kill()
