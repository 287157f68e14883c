"""Requests and answers as servers of OpenAI's protocol read and write them; nothing is sent here.

How likely a model finds an answer is not in that protocol. vLLM tells it as the log-probabilities of a prompt that ends
within the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_tools.synthesis.engines.engine import no_room
from data_tools.synthesis.requests import Answer, Request

PLAIN = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sent to servers that would else take these from the model's generation_config.json, and so change what is drawn."""

FILL_IN_DEFAULTS = ("vllm", "sglang")
"""Owners of models, as such servers name themselves in their list."""


class NoAnswer(Exception):
    """What came isn't an answer to the request."""


class Refusal(Exception):
    """A request that the server won't take, in its words."""


class AnotherModel(Exception):
    """Another model answers than the one that was asked."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model, as the server's list has it."""

    name: str
    context: int | None = None
    """Tokens of prompt and answer, where the server tells."""
    fills_in: bool = False
    """Whether it takes what a request leaves open from the model's generation_config.json."""


def served(content: Any) -> dict[str, Served]:
    """Name -> model, of what `/models` answers.

    Raises:
        NoAnswer: it is no list of models.
    """
    try:
        return {
            entry["id"]: Served(entry["id"], entry.get("max_model_len"), entry.get("owned_by") in FILL_IN_DEFAULTS)
            for entry in content["data"]
        }
    except (AttributeError, KeyError, TypeError):
        raise NoAnswer("no list of models as OpenAI's protocol has it") from None


def asked(request: Request, model: Served) -> tuple[str, dict[str, Any]]:
    """(path, body) of a request: a text as what the user of a chat says, token ids as a text to be continued.

    Raises:
        Refusal: token ids that leave no room in the context, which servers refuse in misleading words.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model.name, "temperature": sampling.temperature, "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens, "seed": request.seed,
    } | (PLAIN if model.fills_in else {})  # fmt: skip
    if isinstance(request.prompt, str):
        if model.context is not None:  # vLLM cuts it to what the prompt leaves, but refuses more than the whole
            body["max_tokens"] = min(sampling.max_tokens, model.context)
        return "/chat/completions", body | {"messages": [{"role": "user", "content": request.prompt}]}
    if model.context is not None:
        room = model.context - len(request.prompt)
        if room < 1:
            raise Refusal(no_room(len(request.prompt), model.context))
        body["max_tokens"] = min(sampling.max_tokens, room)
    return "/completions", body | {"prompt": list(request.prompt)}


def weighing(request: Request, choice: str, model: Served) -> tuple[str, dict[str, Any]]:
    """(path, body) of the question how likely a choice is.

    Raises:
        Refusal: the prompt is token ids.
    """
    if not isinstance(request.prompt, str):
        raise Refusal("a server weighs answers to texts only, not to token ids")
    said = [{"role": "user", "content": request.prompt}, {"role": "assistant", "content": choice}]
    return "/chat/completions", {
        "model": model.name, "messages": said, "add_generation_prompt": False, "continue_final_message": True,
        "prompt_logprobs": 0, "max_tokens": 1, "temperature": 0.0, "seed": request.seed,
    }  # fmt: skip


def prompt_logprobs(content: Any) -> list[tuple[str, float]]:
    """(id, log-probability) of each token of the prompt but the first, which nothing stands before.

    Raises:
        NoAnswer: the server doesn't tell them.
    """
    try:
        told = [next(iter(token.items())) for token in content["prompt_logprobs"][1:]]
        return [(name, float(entry["logprob"])) for name, entry in told]
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError):
        raise NoAnswer("no log-probabilities of the prompt") from None


def after_what_is_shared(prompts: Sequence[list[tuple[str, float]]]) -> list[float]:
    """Log-probability of each prompt from its first token on that isn't the same in all."""
    shared = 0
    for tokens in zip(*prompts, strict=False):
        if len({name for name, _ in tokens}) > 1:
            break
        shared += 1
    return [sum(logprob for _, logprob in prompt[shared:]) for prompt in prompts]


def answered(content: Any, model: Served) -> Answer:
    """What the server wrote.

    Raises:
        NoAnswer: the body lacks what an answer has, or the server broke it off.
        AnotherModel: it was written by another model.
    """
    try:
        name, (choice, *_) = content["model"], content["choices"]
        text = choice["message"]["content"] if "message" in choice else choice["text"]
        finish, usage = choice["finish_reason"], content.get("usage") or {}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise NoAnswer("an answer in another format than OpenAI's") from None
    if name != model.name:
        raise AnotherModel(name)
    if not isinstance(text, str) or finish not in ("stop", "length"):
        raise NoAnswer(f"an answer that ended with '{finish}'" if isinstance(text, str) else "an answer without a text")
    return Answer(text, finish, usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
