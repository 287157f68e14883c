"""The `tokenizers` library alone: texts in memory, encoded in batches on all cores; nothing is written.

    python bare_tokenizers.py CORPUS.jsonl TOKENIZER.json

Prints the seconds of the encoding and the number of tokens as JSON. Reading the texts is not timed.
"""

import json
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer

BATCH = 1000
"""Documents: on more the library spends its time on memory for what it returns."""


def main() -> None:
    corpus, path = sys.argv[1:]
    tokenizer = Tokenizer.from_file(path)
    with Path(corpus).open() as lines:
        texts = [json.loads(line)["text"] for line in lines]
    tokens, seconds = 0, 0.0
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        began = time.monotonic()
        encoded = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        seconds += time.monotonic() - began
        tokens += sum(len(one) for one in encoded)
    print(json.dumps({"seconds": seconds, "tokens": tokens}))


if __name__ == "__main__":
    main()
