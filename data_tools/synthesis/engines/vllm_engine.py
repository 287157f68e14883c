"""vLLM in this process, for production on GPUs: requests come and go while it computes, so that it is never idle.

Ids go in and ids come out; the tokenizer is ours to run (see codec), so that a prompt is the same for all engines.
"""

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.synthesis.engines.choosing import weighed
from data_tools.synthesis.engines.codec import Codec
from data_tools.synthesis.engines.engine import EngineFailed
from data_tools.synthesis.requests import Answer, Request, Unanswered

LOGGING = "VLLM_LOGGING_LEVEL"


class Weighing:
    """A request whose choices are being weighed."""

    def __init__(self, request: Request, prompt: int, choices: Sequence[list[int]]):
        self.request, self.prompt, self._choices = request, prompt, choices
        self.logprobs: list[Any] = [None] * len(choices)

    def take(self, number: int, output: Any) -> None:
        """The log-probabilities of a choice's tokens, which are the last of the prompt."""
        choice = self._choices[number]
        told = output.prompt_logprobs[-len(choice) :]
        self.logprobs[number] = sum(entry[token].logprob for token, entry in zip(choice, told, strict=True))


class VllmEngine:
    """A Hugging Face folder, loaded by vLLM."""

    def __init__(self, folder: Path, *, batch: int, tensor_parallel: int, memory: float, context: int | None):
        """Load the model.

        Args:
            folder: of the model.
            batch: requests that it works on together.
            tensor_parallel: GPUs that it is spread over.
            memory: share of the memory that it takes.
            context: tokens of prompt and answer that it makes room for; None: as many as the model can take.

        Raises:
            InputError: vLLM isn't installed, or can't load the model with these settings.
        """
        os.environ.setdefault(LOGGING, "WARNING")
        try:
            from vllm import LLM
            from vllm.platforms import current_platform
        except ImportError as error:
            raise InputError(
                where="engine vllm", found=f"no vLLM that can be imported ({error})", expected="vLLM",
                fix="Install it (pip install 'megatron_ext[vllm]'), or choose another engine.",
            ) from None  # fmt: skip
        # A prompt read in pieces would turn its row's generator back, which torch's generators of a CPU can't do: vLLM
        # 0.32 ends. Whole prompts need no such thing.
        on_cpu = {"enable_chunked_prefill": False} if current_platform.is_cpu() else {}
        try:
            self._llm: Any = LLM(
                model=str(folder), skip_tokenizer_init=True, max_num_seqs=batch, tensor_parallel_size=tensor_parallel,
                gpu_memory_utilization=memory, max_model_len=context, **on_cpu,
            )  # fmt: skip
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                where=str(folder), found=f"a model that vLLM can't start ({error})",
                expected="one that it can, and memory for it", keeps_work=True,
                fix="Read what vLLM wrote above; a smaller batch, context or share of the memory may help.",
            ) from None  # fmt: skip
        self._codec = Codec(folder)
        self._context: int = self._llm.llm_engine.model_config.max_model_len
        self.capacity = 2 * batch  # those that wait take the place of those that end
        self._open: dict[str, Request] = {}
        self._weighing: dict[str, Weighing] = {}
        """By the request's id; vLLM is asked for each choice, under the id and the choice's number."""
        self._refused: list[tuple[Request, Answer]] = []

    def submit(self, request: Request) -> None:
        """See Engine.

        Raises:
            InputError: the prompt has token ids that the model doesn't know.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        fit = self._codec.fit(request, self._context)
        if isinstance(fit, Answer):
            self._refused.append((request, fit))
            return
        prompt, limit = fit
        if request.choices:
            choices = self._codec.choices(request)
            self._weighing[request.id] = Weighing(request, len(prompt), choices)
            asked = SamplingParams(
                max_tokens=1, prompt_logprobs=0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
            )  # fmt: skip
            for number, choice in enumerate(choices):
                self._llm.llm_engine.add_request(f"{request.id} {number}", {"prompt_token_ids": prompt + choice}, asked)
            return
        sampling = SamplingParams(
            temperature=request.sampling.temperature, top_p=request.sampling.top_p, seed=request.seed,
            max_tokens=limit, stop_token_ids=sorted(self._codec.ends), detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )  # fmt: skip
        self._open[request.id] = request
        self._llm.llm_engine.add_request(request.id, {"prompt_token_ids": prompt}, sampling)

    def collect(self) -> list[tuple[Request, Answer | Unanswered]]:
        """See Engine."""
        if self._refused:
            refused, self._refused = self._refused, []
            return list(refused)
        while True:
            try:
                outputs = self._llm.llm_engine.step()
            except Exception as error:  # its process has ended, for one of many reasons that it has written
                raise EngineFailed(f"vLLM can't go on ({type(error).__name__}: {error})") from error
            finished = [got for output in outputs if output.finished and (got := self._finished(output))]
            if finished:
                return finished

    def close(self) -> None:
        """End its processes and give the memory back."""
        self._llm = None
        self._open, self._weighing, self._refused = {}, {}, []
        gc.collect()

    def _finished(self, output: Any) -> tuple[Request, Answer | Unanswered] | None:
        """The answer that an output is; None as long as choices of its request are open."""
        name, _, number = output.request_id.partition(" ")
        if not number:
            return self._open.pop(name), self._answer(output)
        weighing = self._weighing[name]
        weighing.take(int(number), output)
        if None in weighing.logprobs:
            return None
        del self._weighing[name]
        return weighing.request, weighed(weighing.logprobs, weighing.prompt)

    def _answer(self, output: Any) -> Answer | Unanswered:
        (written,) = output.outputs
        if written.finish_reason not in ("stop", "length"):
            return Unanswered(f"vLLM ended it with '{written.finish_reason}'")
        ids = [token for token in written.token_ids if token not in self._codec.ends]
        return Answer(self._codec.decode(ids), written.finish_reason, len(output.prompt_token_ids), len(ids))
