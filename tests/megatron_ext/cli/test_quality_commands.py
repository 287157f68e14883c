"""The `quality` and `concepts` commands: what they print, and the exit status that a script goes by."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from megatron_ext.cli.main import app, main
from tests.data_tools.quality.corpora import corpus_of, sentence
from tests.data_tools.synthesis.test_engine_server import Running

ROOT = Path(__file__).parents[3]
FORM = "First: a\nConcept: b\nSecond: c\nDomain: law\nType: rule\nRelation: scope"


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A source, and a synthetic corpus of it in which one document of four repeats itself."""
    folder = tmp_path_factory.mktemp("corpora")
    source = corpus_of(folder / "source", [sentence(1), sentence(2)])
    texts = [sentence(3), sentence(4), sentence(5), f"{sentence(6, 13)} {sentence(6, 13)}"]
    return source, corpus_of(folder / "made", texts, made_of=(source, [0, 0, 1, 1]))


def thresholds(folder: Path, text: str) -> str:
    path = folder / "gate.yaml"
    path.write_text(text)
    return str(path)


def test_quality_prints_a_table_and_ends_with_0_where_bounds_are_kept(corpora, tmp_path, capsys):
    source, made = corpora
    words = ["quality", str(made), str(tmp_path / "out"), "--source", str(source)]
    assert main([*words, "--threshold", thresholds(tmp_path, "repetition: 0.9")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"repetition\W+25\.0%\W+4\.6% - 69\.9%\W+4\W+4\.3%", printed)
    assert "Go." in printed
    assert (tmp_path / "out" / "quality.html").is_file()


def test_a_broken_bound_ends_with_1_and_says_why(corpora, tmp_path, capsys):
    _, made = corpora
    words = ["quality", str(made), str(tmp_path / "out"), "--threshold", thresholds(tmp_path, "repetition: 0.3")]
    assert main(words) == 1
    assert "repetition: 25.0% of 4" in capsys.readouterr().out
    assert main([*words, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"]["go"] is False


def test_the_output_stands_beside_the_corpus_if_none_is_named(corpora):
    _, made = corpora
    assert main(["quality", str(made)]) == 0
    assert made.with_name("made.quality").is_dir()


def test_concepts_are_counted_and_printed(corpora, tmp_path, capsys):
    source, made = corpora
    mine = tmp_path / "mine.txt"
    mine.write_text(f"$document $source\n{FORM}")
    server = Running()
    try:
        words = ["concepts", str(made), str(tmp_path / "out"), "--source", str(source), "--model", "small"]
        words += ["--url", f"http://127.0.0.1:{server.port}/good/v1", "--template", str(mine)]
        assert main(words) == 2  # the server puts a number behind the last word, which makes it no relation
        assert "form" in capsys.readouterr().err
        mine.write_text(f"$document $source\n{FORM}\nSo")
        assert main(words) == 0
    finally:
        server.kill()
    printed = capsys.readouterr().out
    assert "4 of 4 answers could be read" in printed
    assert re.search(r"law\W+4\W+100\.0%", printed)
    assert "law" in (tmp_path / "out" / "concepts.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--judge-url", "http://127.0.0.1:1/v1"], "--judge-model"),
        (["--judge-model", "no/such/model"], "no/such/model"),
        (["--benchmark", "gone.jsonl"], "gone.jsonl"),
        (["--template", "non_factual"], "MEASURE=FILE"),
        (["--threshold", "gone.yaml"], "gone.yaml"),
        (["--sample", "none"], "whole number"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(words, said, corpora, tmp_path, capsys):
    _, made = corpora
    assert main(["quality", str(made), str(tmp_path / "out"), *words]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


@pytest.mark.parametrize("name", ["quality", "concepts"])
def test_help_has_examples_that_the_parser_reads(name, capsys):
    assert main([name, "--help"]) == 0
    shown = re.findall(rf"^ *Example: megatron-ext ({name} .*)$", capsys.readouterr().out.replace("\\\n", ""), re.M)
    text = (ROOT / "docs" / "quality.md").read_text().replace("\\\n", "")
    shown += re.findall(rf"^megatron-ext ({name} .*)$", text, re.M)
    assert len(shown) > 1
    command = typer.main.get_command(app).commands[name]
    for line in shown:
        _, *words = shlex.split(line, comments=True)
        assert command.make_context(name, words)
