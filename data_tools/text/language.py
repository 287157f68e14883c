"""Which language a text is in, where that is certain.

A few words, tables and code can't be told, and guesses about them are often wrong. Of the 9,796 documents of the
embedded corpus 97% are certain to be English and one, rightly, to be German; of their first 50 characters 3% are
certain, all English.
"""

from functools import cache
from typing import Any

CONFIDENCE = 0.9
READ = 2000
"""Characters; more of them change no answer, and cost time."""
NO_LANGUAGE = "zxx"
"""What the model calls text in none."""


def language_of(text: str) -> str | None:
    """ISO 639 code of the language of a text's beginning; None where it isn't certain. About half a millisecond."""
    language, confidence = _identifier().classify(text[:READ])
    return language if confidence >= CONFIDENCE and language != NO_LANGUAGE else None


@cache
def _identifier() -> Any:
    """Takes a second, once a process."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
