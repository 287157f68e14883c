"""The ledger: what was paid for is never lost, never taken for something else, and never paid for again."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import orjson
import pytest

from data_tools.errors import EndedEarly, InputError
from data_tools.synthesis.ledger import Ledger, LedgerPart
from data_tools.synthesis.requests import Answer, Ask, Request, Sampling, request_of
from tests.support import small_disk

SAMPLING = Sampling(temperature=1.0, top_p=0.9, max_tokens=64)


def request(index: int, **changed: object) -> Request:
    known = {"recipe": "rephrase", "version": 1, "document": "a" * 32, "draw": 0, "generator": "b" * 32} | changed
    return request_of(Ask("Say it again.", "c" * 32, SAMPLING, index), **known)  # type: ignore[arg-type]


def answer(number: int) -> Answer:
    return Answer(f"The answer, number {number}:\nnaïve “text” {'x' * number}", "stop", 10, number)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "part-0000.jsonl"
    with LedgerPart(path, writing=True) as part:
        for number in range(20):
            part.append(request(number), answer(number))
    return path


def test_every_answer_is_read_back_as_it_was_given(written: Path) -> None:
    with LedgerPart(written, writing=False) as part:
        assert len(part) == 20
        assert [part.get(request(number).id) for number in range(20)] == [answer(number) for number in range(20)]
        assert part.get(request(20).id) is None


def test_lines_are_json_that_other_tools_can_read(written: Path) -> None:
    rows = [orjson.loads(line) for line in written.read_bytes().splitlines()]
    assert [row["id"] for row in rows] == [request(number).id for number in range(20)]
    assert rows[3]["text"] == answer(3).text


@pytest.mark.parametrize("changed", [
    {"recipe": "qa"}, {"version": 2}, {"document": "d" * 32}, {"draw": 1}, {"generator": "e" * 32},
])  # fmt: skip
def test_whatever_an_answer_depends_on_changes_the_id(changed: dict[str, object]) -> None:
    assert request(0, **changed).id != request(0).id


@pytest.mark.parametrize("ask", [
    Ask("Say it again.", "f" * 32, SAMPLING, 0),
    Ask("Say it again.", "c" * 32, SAMPLING, 1),
    Ask("Say it again.", "c" * 32, Sampling(0.5, 0.9, 64), 0),
    Ask("Say it again.", "c" * 32, SAMPLING, 0, "strategy=a timeline"),
])  # fmt: skip
def test_template_sampling_index_and_what_is_put_in_change_the_id(ask: Ask) -> None:
    changed = request_of(ask, recipe="rephrase", version=1, document="a" * 32, draw=0, generator="b" * 32)
    assert changed.id != request(0).id
    assert changed.seed != request(0).seed


def test_the_seed_of_sampling_is_the_same_on_every_machine() -> None:
    code = (
        "from data_tools.synthesis.requests import *\n"
        "ask = Ask('Say it again.', 'c' * 32, Sampling(1.0, 0.9, 64), 5)\n"
        "print(request_of(ask, recipe='rephrase', version=1, document='a' * 32, draw=0, generator='b' * 32).seed)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == request(5).seed
    assert 0 <= request(5).seed < 1 << 31


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_torn_last_line_is_cut_and_asked_again(written: Path, cut: int) -> None:
    size = written.stat().st_size
    os.truncate(written, size - cut)
    with LedgerPart(written, writing=True) as part:
        assert len(part) == 19
        part.append(request(19), answer(19))
        part.append(request(20), answer(20))
    with LedgerPart(written, writing=False) as part:
        assert [part.get(request(number).id) for number in range(21)] == [answer(number) for number in range(21)]
        assert part.damaged == 0


def test_a_damaged_line_is_as_if_it_had_not_been_asked(written: Path) -> None:
    data = bytearray(written.read_bytes())
    data[data.index(b"number 7") + 7] ^= 1
    written.write_bytes(data)
    with LedgerPart(written, writing=True) as part:
        assert part.damaged == 1
        assert [number for number in range(20) if part.get(request(number).id) is None] == [7]
        part.append(request(7), answer(7))
    with LedgerPart(written, writing=False) as part:
        assert [part.get(request(number).id) for number in range(20)] == [answer(number) for number in range(20)]


def test_a_part_has_one_writer_and_any_number_of_readers(written: Path) -> None:
    with LedgerPart(written, writing=True):
        with pytest.raises(InputError, match="another process"):
            LedgerPart(written, writing=True)
        with LedgerPart(written, writing=False) as part:
            assert len(part) == 20
    with LedgerPart(written, writing=True) as part:
        assert len(part) == 20


def test_a_writer_that_is_killed_loses_at_most_the_line_that_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "part-0000.jsonl"
    code = textwrap.dedent(f"""
        from pathlib import Path
        from data_tools.synthesis.ledger import LedgerPart
        from tests.data_tools.synthesis.test_ledger import answer, request
        with LedgerPart(Path({str(path)!r}), writing=True) as part:
            number = len(part)
            while True:
                part.append(request(number), answer(number % 50))
                print(number, flush=True)
                number += 1
    """)
    said = -1
    for lines in (3, 40, 200):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(lines):
            said = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    with LedgerPart(path, writing=True) as part:
        assert len(part) > said
        assert all(part.get(request(number).id) == answer(number % 50) for number in range(len(part)))


def fill(part: LedgerPart) -> None:
    for number in range(10_000):
        part.append(request(number), answer(500))


def test_a_full_disk_keeps_what_was_there_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    path = disk / "part-0000.jsonl"
    with small_disk(disk, kilobytes=256) as resize:
        with LedgerPart(path, writing=True) as part:
            with pytest.raises(EndedEarly, match=r"can't be written .* are kept"):
                fill(part)
            number = len(part)
        assert number > 100
        resize(1024)
        with LedgerPart(path, writing=True) as part:
            assert len(part) == number
            part.append(request(number), answer(1))
            assert all(part.get(request(before).id) == answer(500) for before in range(number))
            assert part.get(request(number).id) == answer(1)


def test_a_ledger_keeps_its_number_of_parts_whatever_comes_next(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "ledger", expected=1000).parts == 62
    assert Ledger(tmp_path / "ledger", expected=1).parts == 62
    assert Ledger(tmp_path / "other", expected=10**9).parts == 1024
    assert Ledger(tmp_path / "few", expected=3).parts == 1


def test_a_folder_of_something_else_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="--ledger"):
        Ledger(tmp_path)


def test_a_ledger_that_a_killed_process_began_is_made_anew_and_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "ledger.json.partial").write_text('{"pa')
    assert Ledger(tmp_path / "begun").parts == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(InputError, match="a folder without ledger.json"):
        Ledger(tmp_path / "other")
