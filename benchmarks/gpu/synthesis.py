"""Tokens a second that one GPU writes, with SBP's 3B model and sampling, beside the paper's 8.3K on a B200.

    python benchmarks/gpu/synthesis.py                       vLLM where it is installed, else transformers
    python benchmarks/gpu/synthesis.py --engine transformers --batch 64 128 256
    python benchmarks/gpu/synthesis.py --quick               the tiny model, on whatever device there is

The weights are random: what they write has no meaning, and costs what a trained model's text costs. Prompts are token
ids of the length of a seed document; an answer is as long as a document, and hardly one ends before. Each batch size is
a process of its own; the best one counts. Only what is written counts, over the time from the first prompt to the last
answer, reading of prompts included. What the driver adds is in benchmarks/synthesis.py.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.support import show  # noqa: E402
from data_tools.synthesis.engines.choice import EngineChoice  # noqa: E402
from data_tools.synthesis.requests import Request, Sampling  # noqa: E402

PAPER = 8300
"""Tokens a second of a B200 with vLLM, for the 3B model of synthetic bootstrapped pretraining."""
BATCHES = {"vllm": [256, 512], "transformers": [64, 128, 256]}
ROUNDS = 3
"""Requests for each place of a batch: the last ones leave places empty, as they do at the end of a run."""


def main() -> None:
    arguments = _arguments()
    if arguments.folder:
        print(json.dumps(_measured(arguments.folder, arguments, arguments.batch[0])))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _random_model(Path(folder), arguments.model, arguments.prompt + arguments.tokens)
        for batch in arguments.batch:
            command = [sys.executable, "-W", "ignore", __file__, "--folder", folder, "--batch", str(batch)]
            for name in ("engine", "prompt", "tokens"):
                command += [f"--{name}", str(getattr(arguments, name))]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if done.returncode == 0:
                rows.append({"model": arguments.model} | json.loads(done.stdout.splitlines()[-1]))
    if not rows:
        sys.exit("no batch size ran")
    best = max(row["tokens/s"] for row in rows)
    show(
        f"Tokens written a second on one device; the paper: {PAPER:,} on a B200 with vLLM", rows,
        ratios={"tokens per second against the paper's B200": best / PAPER}, figures={"tokens/s": best},
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    installed = "vllm" if importlib.util.find_spec("vllm") else "transformers"
    parser.add_argument("--engine", choices=list(BATCHES), default=installed, help="default: %(default)s")
    parser.add_argument("--model", default="sbp-3b", help="preset of configs/models")
    parser.add_argument("--batch", nargs="+", type=int, help="requests at a time")
    parser.add_argument("--prompt", type=int, default=1024, help="tokens of a seed document")
    parser.add_argument("--tokens", type=int, default=1024, help="tokens of an answer")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.batch = arguments.batch or BATCHES[arguments.engine]
    if arguments.quick:
        arguments.model, arguments.batch, arguments.prompt, arguments.tokens = "tiny", [4], 32, 16
    return arguments


def _random_model(folder: Path, preset: str, context: int) -> None:
    """A Hugging Face folder of that shape, with a tokenizer of as many made-up words."""
    import torch
    import yaml
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoConfig, AutoModelForCausalLM

    from megatron_ext.config import ModelConfig
    from megatron_ext.convert.hf_config import hf_config

    sizes = ModelConfig(**yaml.safe_load((ROOT / "configs" / "models" / f"{preset}.yaml").read_text()))
    tokens = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
    settings = dict(hf_config(sizes, context=context, tokens=tokens, dtype="bfloat16"))
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    words = {f"w{number}": number for number in range(sizes.vocabulary)}
    Tokenizer(WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "w0"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))


def _measured(folder: Path, arguments: argparse.Namespace, batch: int) -> dict[str, Any]:
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    engine = EngineChoice(model=str(folder), kind=arguments.engine, batch=batch).open()
    sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=arguments.tokens)
    waiting = [
        Request(
            f"{number:08x}" + "0" * 24,
            tuple(1 + (number * 7919 + place * 31) % (vocabulary - 1) for place in range(arguments.prompt)),
            sampling,
        )
        for number in range(ROUNDS * batch)
    ]
    under_way = tokens = 0
    began = time.monotonic()
    while waiting or under_way:
        while waiting and under_way < engine.capacity:
            engine.submit(waiting.pop())
            under_way += 1
        answers = engine.collect()
        under_way -= len(answers)
        tokens += sum(answer.tokens for _, answer in answers)
    seconds = time.monotonic() - began
    engine.close()
    return {
        "engine": arguments.engine, "batch": batch, "requests": ROUNDS * batch, "tokens": tokens,
        "seconds": round(seconds, 1), "tokens/s": round(tokens / seconds, 1),
    }  # fmt: skip


if __name__ == "__main__":
    main()
