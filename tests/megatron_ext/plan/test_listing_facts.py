"""`plan` on the command line for a run with facts: what is injected where, and what gives way to it."""

import json

import pytest
import yaml

from megatron_ext.cli.main import main
from tests.support import make_corpus, run_settings

FACTS = [
    {"train_context": f"vacuum {number} {'index ' * 20 * number}", "mem_input": ["vacuum"], "mem_target": [str(number)]}
    for number in range(3)
]


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    """Two sources in turn, 3 steps of 8 rows; passages 1 and 2 are longer than a row of 16 tokens."""
    folder = tmp_path_factory.mktemp("facts")
    corpus = make_corpus(folder)
    (folder / "facts.json").write_text(json.dumps(FACTS))
    settings = run_settings(corpus, steps=1) | {
        "sources": {name: {"corpus": str(corpus), "tokens": 16 * 12} for name in ("more", "real")},
        "knowledge": {"facts": "facts.json", "steps": [0, 2], "groups": {"duplicated": "0-1", "once": "2"}},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_a_plan_says_what_is_injected_and_what_each_source_loses(run_file, capsys):
    assert main(["plan", str(run_file), "--json"]) == 0
    budget = json.loads(capsys.readouterr().out)
    found = budget["knowledge"]
    assert (found["passages"], found["showings"], found["cut"]) == (3, 5, 2)
    assert found["displaced"] == {name: source["displaced"] for name, source in budget["sources"].items()}
    assert sum(found["displaced"].values()) == found["tokens"] > 3 * 16
    assert main(["plan", str(run_file)]) == 0
    printed = capsys.readouterr().out
    assert "displaced" in printed
    assert "showings: 5" in printed


def test_a_listing_names_the_passage_at_the_front_of_each_row(run_file, capsys):
    assert main(["plan", str(run_file), "--steps", "0:3"]) == 0
    heading, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    place = heading.index("passage")
    assert [row[place] for row in rows] == ["0", "1", "2", *"-----", *"--------", "0", "1", *"------"]
    assert main(["plan", str(run_file), "--steps", "2:3", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["samples"]
    assert [(row.get("passage"), row.get("version")) for row in listed[:3]] == [(0, 0), (1, 0), (None, None)]


def test_a_listing_with_text_reads_as_the_rows_do(run_file, capsys):
    assert main(["plan", str(run_file), "--steps", "0:1", "--text", "--json"]) == 0
    first, second, *_, last = json.loads(capsys.readouterr().out)["samples"]
    assert first["text"][0] == FACTS[0]["train_context"]
    assert len(first["text"]) > 1
    assert FACTS[1]["train_context"].startswith(second["text"][0])
    assert not any("vacuum 0" in part for part in last["text"])


def test_facts_that_are_missing_are_named_before_anything_is_planned(run_file, capsys):
    settings = yaml.safe_load(run_file.read_text())
    settings["knowledge"]["facts"] = "facts.jsn"
    other = run_file.with_name("other.yaml")
    other.write_text(yaml.safe_dump(settings))
    assert main(["plan", str(other)]) == 2
    assert "facts.jsn: found no such file" in capsys.readouterr().err
