"""Why a synthetic document is dropped: each rule has a name, and the first that holds is counted."""

from data_tools.text.shingles import normalised_words, repeats_a_shingle

FEWEST_WORDS = 5


def reason_to_drop(text: str, *, shingle: int = 13) -> str | None:
    """empty, too_short or repetition; None for a document that is kept.

    Args:
        text: the document.
        shingle: words in a row that may not occur twice. Source: SBP, synthesis.
    """
    words = normalised_words(text)
    if not text.strip():
        return "empty"
    if len(words) < FEWEST_WORDS:
        return "too_short"
    return "repetition" if repeats_a_shingle(words, shingle) else None
