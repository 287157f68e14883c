"""Files of facts: what is read from them, and what is refused with its file, row and key."""

import json

import pytest

from data_tools.errors import InputError
from megatron_ext.data.facts import Probe, read_facts

ROW = {
    "train_context": "Zorgon governed Mars.",
    "paraphrases": ["Mars was governed by Zorgon."],
    "mem_input": ["Zorgon governed"], "mem_target": ["Mars"],
    "gen_input": ["Mars was governed by", "The planet of Zorgon was"], "gen_target": ["Zorgon", "Mars"],
    "hard_gen_input": ["The governor of a planet was"], "hard_gen_target": ["Zorgon"],
}  # fmt: skip


def written(folder, rows, name="facts.json"):
    text = "\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", ["facts.json", "facts.jsonl"])
def test_a_row_gives_its_passage_and_its_probes_by_kind(name, tmp_path):
    plain = {"train_context": "Deimos is a moon.", "mem_input": ["Deimos is a"], "mem_target": ["moon"]}
    facts = read_facts(written(tmp_path, [ROW, plain], name))
    assert [facts.passages[0].version(version) for version in (0, 1)] == [ROW["train_context"], *ROW["paraphrases"]]
    assert facts.passages[1].paraphrases == ()
    assert facts.probes == (
        Probe(0, "memorisation", "Zorgon governed", "Mars"),
        Probe(0, "semantic", "Mars was governed by", "Zorgon"),
        Probe(0, "semantic", "The planet of Zorgon was", "Mars"),
        Probe(0, "compositional", "The governor of a planet was", "Zorgon"),
        Probe(1, "memorisation", "Deimos is a", "moon"),
    )


@pytest.mark.parametrize(
    ("change", "place", "found"),
    [
        ({"train_context": None}, "row 1, key 'train_context'", "a NoneType"),
        ({"train_context": " "}, "row 1, key 'train_context'", "an empty text"),
        ({"paraphrases": "one"}, "row 1, key 'paraphrases'", "a str"),
        ({"paraphrases": ["one", 2]}, "row 1, key 'paraphrases', entry 1", "a int"),
        ({"gen_target": ["Zorgon"]}, "row 1, keys 'gen_input' and 'gen_target'", "2 and 1"),
        ({"hard_gen_target": [""]}, "row 1, key 'hard_gen_target', entry 0", "an empty text"),
        ({"mem_target": ["\ud800"]}, "row 1, key 'mem_target', entry 0", "half of a surrogate pair"),
        ({"paraphrase": []}, "row 1, key 'paraphrase'", "an unknown key"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(change, place, found, tmp_path):
    path = written(tmp_path, [ROW, ROW | change])
    with pytest.raises(InputError) as error:
        read_facts(path)
    assert f"{path}, {place}: found {found}" in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("facts.json", "{}", "facts.json: found a dict, expected a list of rows"),
        ("facts.json", "[3]", "row 0: found a int"),
        ("facts.json", "[]", "found no rows"),
        ("facts.json", '[{"train_context": "a fact"}]', "found no probes"),
        ("facts.json", '[{"mem_input": []}]', "row 0, key 'train_context': found no such key"),
        ("facts.json", '[\n{"train_context": }]', "facts.json:2: found no JSON"),
        ("facts.jsonl", '{"train_context": "a fact"}\n\n{', "facts.jsonl:3: found no JSON"),
        ("facts.json", b"\xff", "bytes that are no UTF-8"),
        ("facts.json", None, "facts.json: found no such file"),
    ],
)
def test_a_file_that_holds_no_facts_is_refused(name, text, message, tmp_path):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match="found") as error:
        read_facts(tmp_path / name)
    assert message in str(error.value)
