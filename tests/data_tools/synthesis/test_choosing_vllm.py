"""Answers weighed by vLLM, in this process and as a server: as likely as transformers finds them."""

import importlib.util
import json

import pytest

from benchmarks.smollm import smollm2
from data_tools.synthesis.engines.choice import EngineChoice
from data_tools.synthesis.requests import Request, Sampling
from tests.data_tools.synthesis.test_engine_vllm import ask, in_process, server  # noqa: F401  fixtures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]
ROUNDED = 0.3
"""Nats: vLLM computes in bf16, transformers on a CPU in float32."""
CHOICES = ("Verdict: related", "Verdict: unrelated", "Not a verdict, but a sentence.")


@pytest.fixture(scope="module")
def asked():
    prompts = [f"Are {one} and a penguin related? Answer with one line." for one in ("a duck", "an iron bridge")]
    return [Request(f"{number:032x}", prompt, Sampling(), CHOICES) for number, prompt in enumerate(prompts)]


@pytest.fixture(scope="module")
def expected(asked):
    engine = EngineChoice(model=str(smollm2())).open()
    found = ask(engine, asked)
    engine.close()
    return found


def test_vllm_in_this_process_finds_answers_as_likely(in_process, asked, expected):  # noqa: F811
    for name, answer in ask(in_process, asked).items():
        assert json.loads(answer.text) == pytest.approx(json.loads(expected[name].text), abs=ROUNDED)


def test_a_server_of_vllm_tells_the_same_differences(server, asked, expected):  # noqa: F811
    for name, answer in ask(server, asked).items():
        found, other = (json.loads(each.text) for each in (answer, expected[name]))
        assert [each - found[0] for each in found] == pytest.approx([each - other[0] for each in other], abs=ROUNDED)
