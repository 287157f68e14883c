"""Models side by side: accuracy over the synthetic tokens that each saw, as table, line and page."""

import pytest

from data_tools.corpus.manifest import run_step
from data_tools.recall.run import STEP as THEIRS
from megatron_ext.knowledge import recall_curve
from megatron_ext.knowledge.recall_curve import collect, line, write_json
from megatron_ext.knowledge.recall_page import answer, page, traces


def mean(value):
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def model_folder(folder, name, *, closed, rag=None, judged=None, rules="squad"):
    """A finished folder as `recall` makes them."""

    def row(value):
        counted = {"exact_match": mean(value), "f1": mean(value), "empty": 0, "cut": 1, "refused": 0}
        return counted | ({"judged": mean(judged), "unparsable": 2} if judged else {})

    counts = {"questions": 100, "examples": 5, "closed_book": row(closed)}
    counts |= {"rag": row(rag) | {"in_documents": mean(0.9)}} if rag else {}
    settings = {"model": {"name": name, "hash": name}, "rules": rules, "sampling": {"max_tokens": 32}}
    run_step(folder / name, step="recall", inputs={}, settings=settings, build=lambda _: counts)


def test_it_reads_what_recall_writes():
    assert recall_curve.STEP == THEIRS


def test_the_line_through_points_on_a_line_is_that_line():
    points = [(10**power, 0.1 + 0.05 * power) for power in (6, 7, 9)]
    found = line(points)
    assert found["slope"] == pytest.approx(0.05)
    assert found["intercept"] == pytest.approx(0.1)


def test_through_fewer_than_three_models_there_is_no_line():
    assert line([(10, 0.1), (100, 0.2)]) is None
    assert line([(10, 0.1), (100, 0.2), (100, 0.3)]) is None


def test_models_may_be_added_one_at_a_time_and_keep_their_tokens(tmp_path):
    model_folder(tmp_path, "large", closed=0.4)
    write_json(tmp_path, collect(tmp_path, newest="large", tokens={"large": (10**9, 2 * 10**9)}))
    model_folder(tmp_path, "small", closed=0.2)
    found = collect(tmp_path, newest="small", tokens={"small": (10**6, 10**6)})
    known = {model["name"]: (model["synthetic_tokens"], model["trained_synthetic_tokens"]) for model in found["models"]}
    assert list(known.items()) == [("small", (10**6, 10**6)), ("large", (10**9, 2 * 10**9))]


def test_a_model_that_was_asked_otherwise_is_left_out_and_named(tmp_path):
    model_folder(tmp_path, "other", closed=0.4, rules="triviaqa")
    model_folder(tmp_path, "mine", closed=0.2)
    found = collect(tmp_path, newest="mine", tokens={})
    assert [model["name"] for model in found["models"]] == ["mine"]
    assert found["left_out"] == ["other"]
    assert "Left out, since they were asked something else" in page(found)


def test_the_judges_word_is_the_measure_where_there_is_one(tmp_path):
    model_folder(tmp_path, "mine", closed=0.2, judged=0.6)
    found = collect(tmp_path, newest="mine", tokens={"mine": None})
    assert found["measure"] == "judged"
    assert answer(found)[0] == "mine knows 60.0% of the answers without any document."


def test_the_page_has_every_model_its_intervals_and_the_levels_of_what_saw_no_synthetic_tokens(tmp_path):
    model_folder(tmp_path, "base <b>", closed=0.1, rag=0.6)
    for power in (6, 7, 8):
        model_folder(tmp_path, f"mixed-{power}", closed=0.1 * (power - 4), rag=0.5)
    found = collect(
        tmp_path, newest="mixed-8", tokens={f"mixed-{power}": (10**power, 10**power) for power in (6, 7, 8)}
    )
    drawn = {trace["name"]: trace for trace in traces(found)}
    assert drawn["Closed-book"]["x"] == [10**6, 10**7, 10**8]
    assert drawn["Closed-book"]["y"] == pytest.approx([0.2, 0.3, 0.4])
    assert drawn["Closed-book"]["error_y"]["array"] == pytest.approx([0.05] * 3)
    assert drawn["base <b>: closed-book"]["y"] == [0.1, 0.1]
    assert drawn["Closed-book: line"]["y"] == pytest.approx([0.2, 0.4])
    text = page(found)
    assert "base &lt;b&gt;" in text
    assert "40.0 (35.0 to 45.0)" in text
    assert "Each tenfold of synthetic tokens brings +10.0 points." in text
    assert "base <b>, with documents at hand, answers 60.0%: what mixed-8 learnt is worth less" in answer(found)[1]
    assert "http" not in text.split("<script>")[0]


def test_without_any_synthetic_tokens_models_stand_side_by_side(tmp_path):
    model_folder(tmp_path, "mine", closed=0.2)
    (dots,) = traces(collect(tmp_path, newest="mine", tokens={}))
    assert dots["x"] == ["mine"]
