"""No bytes crash a reader, hang it, or are lost: what was read and what was rejected are together what was there.

Each input is drawn from a seed: files of all kinds, of good and bad records, then torn, flipped or joined.
"""

import gzip
import json
import random
import string
from collections.abc import Callable

import orjson
import pytest
import zstandard

from data_tools.lines import DAMAGE, blocks
from data_tools.text.inputs import inputs_of, shards_of
from data_tools.text.readers import Fields, read_shard
from data_tools.text.rejects import LineCounter

ENDINGS = (".jsonl", ".jsonl", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".txt", ".parquet")
PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}
PIECES = (
    b"\xff", b"\xed\xa0\x80", b"\0", b"\x1b[31m", b"\xef\xbb\xbf", b"\r", b"\\ud800", b"\\u0000", b'"', b"{", b"[",
    b"}", b",", b":", b"NaN", b"1e999", b"\xe2\x80\xa8", b"\x85", b"'", b"-", b"\\", b"null", b"true", b"  ",
)  # fmt: skip


def value(chance, depth=0):
    kind = chance.randrange(9 if depth < 4 else 7)
    if kind == 7:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 8:
        return {chance.choice(["text", "id", "a", ""]): value(chance, depth + 1) for _ in range(chance.randrange(4))}
    words = "".join(chance.choices(string.printable + "éÃ日本\u2028\x00\x85", k=chance.randrange(60)))
    return [None, True, chance.randrange(-(2**70), 2**70), chance.random(), words, words, float("inf")][kind]


def line(chance):
    """One line, good or bad, without a line feed."""
    kind = chance.randrange(12)
    if kind == 0:
        return b"".join(chance.choices(PIECES, k=chance.randrange(12)))
    if kind == 1:
        return chance.randbytes(chance.randrange(80)).replace(b"\n", b"")
    if kind == 2:
        return chance.choice([b"[", b'{"a":', b"[{", b'{"text": [']) * chance.choice([1, 10, 900, 3000])
    if kind == 3:
        return b"[" * 5000 + b"]" * 5000
    row = {key: value(chance) for key in ("id", "text", "source", "licence") if chance.random() < 0.7}
    if kind > 5:
        row["text"] = "word " * chance.randrange(20)
    made = json.dumps(row, ensure_ascii=chance.random() < 0.5).encode(errors="replace").replace(b"\n", b"")
    if kind == 4 and made:
        place = chance.randrange(len(made))
        made = made[:place] + chance.choice(PIECES) + made[place + chance.randrange(3) :]
    return made.replace(b"\n", b"") + (b"\r" if kind == 5 else b"")


def torn(chance, data):
    """The bytes, or what damage leaves of them."""
    kind = chance.randrange(6)
    place = chance.randrange(len(data) + 1)
    if kind == 0:
        return data[:place]
    if kind == 1 and place < len(data):
        return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
    if kind == 2:
        return data[:place] + chance.randbytes(chance.randrange(20)) + data[place:]
    return data


def parquet_bytes(chance, path):
    import pyarrow as arrow
    from pyarrow import parquet

    texts = [chance.choice([None, "", "a text", "\0", "日本"]) for _ in range(chance.randrange(1, 30))]
    column = arrow.array(texts) if chance.random() < 0.7 else arrow.array([str(text).encode() for text in texts])
    rows = arrow.table({chance.choice(["text", "text", "other"]): column, "id": [chance.random()] * len(texts)})
    parquet.write_table(rows, path, row_group_size=7)
    return path.read_bytes()


def written(chance, path):
    """Write a file of this kind."""
    if path.name.endswith(".parquet"):
        data = parquet_bytes(chance, path)
    else:
        data = b"\n".join(line(chance) for _ in range(chance.randrange(12))) + chance.choice([b"", b"\n", b"\n\n"])
        data = PACK.get(path.suffix, bytes)(data)
    path.write_bytes(torn(chance, data))


def lines_of(path):
    """Lines that a file has, and whether something in it can't be read."""
    data = b""
    try:
        for block in blocks(path):
            data += block
    except DAMAGE:
        return data.count(b"\n"), 1
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b""), 0


def check(folder, seed):
    """Read one drawn input in shards of a drawn size."""
    chance = random.Random(seed)
    path = folder / f"{seed}{chance.choice(ENDINGS)}"
    written(chance, path)
    shards = shards_of(inputs_of([path]), path.stat().st_size // chance.randrange(1, 12) + 1)
    rejects, counter = [], LineCounter()
    documents = [document for shard in shards for document in read_shard(shard, Fields(), rejects.append)]
    numbers = [number for number in (counter.placed(reject).line for reject in rejects) if number]
    assert len(set(numbers)) == len(numbers), "a record was rejected twice"
    for document in documents:
        assert orjson.dumps(document), "no file can hold it"
        assert document.id
        assert not document.text.isspace()
    if path.suffix == ".txt":
        assert len(documents) + len(rejects) == 1
    elif path.suffix != ".parquet":
        lines, damages = lines_of(path)
        assert len(documents) + len(rejects) == lines + damages
        assert all(number <= lines for number in numbers)
    path.unlink()


def test_what_was_read_and_rejected_is_what_was_there(tmp_path):
    pytest.importorskip("pyarrow")
    for seed in range(1500):
        check(tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_of_10_000_inputs_none_crashes_hangs_or_is_lost(tmp_path, part):
    pytest.importorskip("pyarrow")
    for seed in range(1000 * part, 1000 * (part + 1)):
        check(tmp_path, seed + 10_000)


def test_every_row_of_a_parquet_file_that_is_whole_is_read_or_rejected(tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for seed in range(60):
        path = tmp_path / f"{seed}.parquet"
        parquet_bytes(random.Random(seed), path)
        rejects = []
        shards = shards_of(inputs_of([path]), random.Random(seed).choice([100, 1 << 20]))
        read = sum(1 for shard in shards for _ in read_shard(shard, Fields(), rejects.append))
        assert read + len(rejects) == parquet.read_metadata(path).num_rows
