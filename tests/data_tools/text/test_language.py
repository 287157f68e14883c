"""A language is named where it is certain, and only there."""

import pytest

from data_tools.text.language import language_of

SENTENCES = {
    "en": "A transaction that has been committed survives a loss of power, since its log was flushed before.",
    "de": "Eine bestätigte Transaktion übersteht einen Stromausfall, weil ihr Protokoll vorher geschrieben wurde.",
    "fr": "Une transaction validée survit à une panne de courant, car son journal a été écrit avant.",
    "es": "Una transacción confirmada sobrevive a un corte de luz, porque su registro se escribió antes en el disco.",
    "zh": "已提交的事务在断电后仍然存在，因为它的日志之前已经写入磁盘。数据库必须先写日志。",
    "ru": "Подтверждённая транзакция переживает отключение питания, потому что её журнал был записан заранее.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_few_sentences_are_told(language):
    assert language_of(SENTENCES[language] * 2) == language


@pytest.mark.parametrize("text", ["", "   ", "42", "OK", "SELECT a, b FROM t WHERE a = 1;", "x = f(y)", "|---|---|"])
def test_what_cannot_be_told_is_not_guessed(text):
    assert language_of(text) is None


def test_only_the_beginning_of_a_long_text_is_read():
    assert language_of(SENTENCES["en"] * 30 + SENTENCES["ru"] * 1000) == "en"
