"""The engines' libraries called as one would without a driver: all prompts at once, texts thrown away.

Each function returns the tokens that were written.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from data_tools.synthesis.engines.codec import Codec
from data_tools.synthesis.requests import Request


def transformers(model: Any, codec: Codec, requests: Sequence[Request], batch: int) -> int:
    """`generate`, batch by batch of prompts of like length, padded on the left."""
    import torch

    prompts = sorted((codec.encode(request.prompt) for request in requests), key=len)
    sampling, end, tokens = requests[0].sampling, min(codec.ends), 0
    for first in range(0, len(prompts), batch):
        rows = prompts[first : first + batch]
        longest = max(map(len, rows))
        ids = torch.tensor([[end] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            written = model.generate(
                ids.to(model.device), attention_mask=mask.to(model.device), max_new_tokens=sampling.max_tokens,
                do_sample=True, temperature=sampling.temperature, top_p=sampling.top_p, top_k=0, pad_token_id=end,
                eos_token_id=sorted(codec.ends),
            )  # fmt: skip
        for row in written[:, longest:].tolist():
            tokens += next((place for place, token in enumerate(row) if token in codec.ends), len(row))
            codec.decode(row)
    return tokens


def vllm(llm: Any, codec: Codec, requests: Sequence[Request]) -> int:
    """`LLM.generate` with all prompts."""
    from vllm import SamplingParams

    sampling = requests[0].sampling
    settings = [
        SamplingParams(
            temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_tokens, seed=request.seed,
            stop_token_ids=sorted(codec.ends), detokenize=False,
        )
        for request in requests
    ]  # fmt: skip
    prompts = [{"prompt_token_ids": codec.encode(request.prompt)} for request in requests]
    tokens = 0
    for output in llm.generate(prompts, settings, use_tqdm=False):
        ids = [token for token in output.outputs[0].token_ids if token not in codec.ends]
        tokens += len(ids)
        codec.decode(ids)
    return tokens


def server(url: str, model: str, requests: Sequence[Request], concurrency: int) -> int:
    """httpx with all requests at once, of which so many are under way at a time."""
    import httpx

    async def ask_all() -> int:
        places = asyncio.Semaphore(concurrency)
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        async with httpx.AsyncClient(timeout=None, limits=limits) as client:

            async def ask(request: Request) -> int:
                sampling = request.sampling
                body = {
                    "model": model, "messages": [{"role": "user", "content": request.prompt}], "seed": request.seed,
                    "temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens,
                }  # fmt: skip
                async with places:
                    answer = await client.post(f"{url}/chat/completions", json=body)
                return answer.raise_for_status().json()["usage"]["completion_tokens"]

            return sum(await asyncio.gather(*map(ask, requests)))

    return asyncio.run(ask_all())
