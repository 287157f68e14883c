"""The engine that asks a server, against a real one that behaves badly: nothing lost, nothing doubled."""

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from data_tools.errors import InputError
from data_tools.http import pause
from data_tools.synthesis.engines.engine import EngineFailed
from data_tools.synthesis.engines.server import ServerEngine
from data_tools.synthesis.requests import Answer, Request, Sampling, Unanswered
from tests.completion_server import CONTEXT

SCRIPT = Path(__file__).parents[2] / "completion_server.py"


class Running:
    """The server's process; it may be killed, and started again at its port."""

    def __init__(self):
        self.port, self.process = 0, None
        self.start()

    def start(self):
        command = [sys.executable, str(SCRIPT), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.process.stdout.readline())

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def log(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/log") as answer:
            return json.load(answer)


@pytest.fixture
def server():
    running = Running()
    yield running
    running.kill()


@contextmanager
def engine(server, behaviour, *, model="small", **changes):
    settings = {"concurrency": 8, "timeout": 20.0, "patience": 60.0, "first_pause": 0.02} | changes
    opened = ServerEngine(f"http://127.0.0.1:{server.port}/{behaviour}/v1/", model, **settings)
    try:
        yield opened
    finally:
        opened.close()


def requests(count, words="row", **sampling):
    return [
        Request(f"{number * 7919:08x}" + "0" * 24, f"{words} {number}", Sampling(**sampling)) for number in range(count)
    ]


def ask(opened, asked, between=lambda done: None):
    """Outcomes by request, as a driver gets them that keeps the engine full."""
    waiting, under_way, outcomes = list(asked), 0, {}
    while waiting or under_way:
        while waiting and under_way < opened.capacity:
            opened.submit(waiting.pop(0))
            under_way += 1
        for request, outcome in opened.collect():
            assert request.id not in outcomes
            outcomes[request.id] = outcome
            under_way -= 1
        between(len(outcomes))
    return outcomes


def right(request):
    """What the server writes, which is asked for no more than its context holds."""
    tokens = min(request.sampling.max_tokens, CONTEXT)
    return Answer(f"{request.prompt}|{request.seed}", "stop", len(request.prompt.split()), tokens)


def test_each_request_gets_its_own_answer_and_no_more_are_asked_at_a_time_than_was_said(server):
    asked = requests(100)
    with engine(server, "good") as opened:
        assert ask(opened, asked) == {request.id: right(request) for request in asked}
    log = server.log()
    assert log["asked"] == {request.prompt: 1 for request in asked}
    assert 2 <= log["most"] <= 8


def test_a_server_that_fails_in_every_way_loses_no_request_and_doubles_none(server):
    asked = requests(60)
    with engine(server, "rough") as opened:
        assert ask(opened, asked) == {request.id: right(request) for request in asked}
    assert set(server.log()["asked"].values()) == {2}


def test_a_server_that_is_killed_and_started_again_in_the_middle_costs_no_answer(server):
    asked = requests(150)
    killed = []

    def kill(done):
        if done >= 40 and not killed:
            killed.append(done)
            server.kill()
            time.sleep(0.3)
            server.start()

    with engine(server, "good") as opened:
        assert ask(opened, asked, kill) == {request.id: right(request) for request in asked}
    assert killed


def test_the_pause_that_a_busy_server_asks_for_is_kept(server):
    began = time.monotonic()
    with engine(server, "busy", concurrency=3) as opened:
        assert len(ask(opened, requests(3))) == 3
    assert time.monotonic() - began >= 1


def test_pauses_grow_and_differ_and_a_date_is_understood():
    assert 0.5 <= pause(1, first=1) <= 1
    assert 4 <= pause(4, first=1) <= 8
    assert pause(50, first=1) <= 60
    assert len({pause(3, first=1) for _ in range(10)}) > 1
    assert pause(1, first=1, retry_after="7") == 7
    assert pause(1, first=1, retry_after="Wed, 21 Oct 2065 07:28:00 GMT") > 1e6
    assert pause(1, first=1, retry_after="soon") <= 1


def test_answers_of_another_model_are_never_taken(server):
    with (
        engine(server, "other", concurrency=1) as opened,
        pytest.raises(EngineFailed, match="asked for the model small and large answered"),
    ):
        ask(opened, requests(10))


def test_a_server_that_says_nothing_any_more_is_given_up_after_a_while(server):
    began = time.monotonic()
    with (
        engine(server, "silent", timeout=1, patience=2) as opened,
        pytest.raises(EngineFailed, match="no answer for 2 s; the last attempt: nothing within 1 s"),
    ):
        ask(opened, requests(10))
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("others", [0, 80])
def test_a_request_that_alone_fails_again_and_again_stays_unanswered_and_stops_no_other(server, others):
    asked = [*requests(1, "poison"), *requests(others + 1)[1:]]
    with engine(server, "picky", concurrency=2, timeout=3, patience=3, first_pause=0.01) as opened:
        outcomes = ask(opened, asked)
    poisoned = outcomes.pop(asked[0].id)
    assert isinstance(poisoned, Unanswered)
    assert "status 500: cannot digest this" in poisoned.reason
    assert outcomes == {request.id: right(request) for request in asked[1:]}


def test_what_a_server_refuses_is_an_answer_with_its_words(server):
    asked = [*requests(3, "x" * 150), *requests(30)[3:]]
    with engine(server, "picky") as opened:
        outcomes = ask(opened, asked)
    assert [outcomes[request.id] for request in asked[:3]] == [Answer("152 characters are too long", "refused")] * 3
    assert all(outcomes[request.id] == right(request) for request in asked[3:])


def test_a_corpus_of_nothing_but_too_long_prompts_is_refused_prompt_by_prompt(server):
    asked = [Request(f"{number:032x}", "x" * (200 + number), Sampling()) for number in range(20)]
    with engine(server, "picky") as opened:
        assert {outcome.finish for outcome in ask(opened, asked).values()} == {"refused"}


def test_a_server_that_refuses_everything_in_the_same_words_is_a_setting_to_correct(server):
    with engine(server, "refusing") as opened, pytest.raises(InputError, match="refused: seed is not supported"):
        ask(opened, requests(30))


def test_a_few_requests_that_are_all_refused_come_back_with_the_reason(server):
    with engine(server, "refusing") as opened:
        assert {outcome.text for outcome in ask(opened, requests(3)).values()} == {"seed is not supported"}


def test_token_ids_are_sent_as_they_are_and_leave_room_for_what_the_context_holds(server):
    request = Request("5" * 32, tuple(range(1, 57)), Sampling(0.5, 0.9, 1000))
    without_room = Request("6" * 32, tuple(range(1, 61)), Sampling())
    with engine(server, "good") as opened:
        answers = ask(opened, [request, without_room])
    answer, refusal = answers[request.id], answers[without_room.id]
    assert (refusal.finish, "60 tokens" in refusal.text) == ("refused", True)
    assert (answer.finish, answer.prompt_tokens, answer.tokens) == ("length", 56, 4)
    assert server.log()["bodies"] == [
        {
            "model": "small", "temperature": 0.5, "top_p": 0.9, "max_tokens": 4, "seed": request.seed, "top_k": -1,
            "min_p": 0.0, "repetition_penalty": 1.0, "prompt": list(request.prompt),
        }
    ]  # fmt: skip


def test_a_model_that_is_not_there_and_a_key_that_is_missing_are_told_at_the_start(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="found large, small, expected medium"), engine(server, "good", model="medium"):
        pass
    with pytest.raises(InputError, match="OPENAI_API_KEY"), engine(server, "locked"):
        pass
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with engine(server, "locked") as opened:
        assert len(ask(opened, requests(2))) == 2


def test_an_address_without_a_server_is_told_at_the_start(server):
    server.kill()
    began = time.monotonic()
    with pytest.raises(InputError, match="see that it is up"), engine(server, "good", timeout=2, patience=2):
        pass
    assert time.monotonic() - began < 4
    server.start()
