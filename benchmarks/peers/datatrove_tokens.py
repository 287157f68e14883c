"""datatrove's Megatron tokenizer step over a folder of .jsonl files, one task for each; runs where datatrove is.

    python datatrove_tokens.py FOLDER TOKENIZER.json END_TOKEN OUTPUT WORKERS
"""

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import MegatronDocumentTokenizer


def main() -> None:
    folder, tokenizer, end, output, workers = sys.argv[1:]
    steps = [
        JsonlReader(folder),
        MegatronDocumentTokenizer(output, save_filename="part", tokenizer_name_or_path=tokenizer, eos_token=end),
    ]
    tasks = len(list(Path(folder).iterdir()))
    LocalPipelineExecutor(steps, tasks=tasks, workers=int(workers), logging_dir=f"{output}/logs").run()


if __name__ == "__main__":
    main()
