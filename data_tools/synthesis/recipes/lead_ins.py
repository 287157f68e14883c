"""What a model says about its text before the text begins: "Sure! Here is a paraphrased version:".

Only beginnings are looked at, and only words that speak of the rewriting: a manual may well begin with "Here is an
example:". Closing remarks stay, since no rule tells them from an end. English only.
"""

import re

_AGREES = r"(?:sure|certainly|of course|absolutely|okay|ok|alright|great|understood|got it|no problem)(?: thing)?"
_SHOWS = r"(?:here(?:['’]s|\s+is|\s+are)|below\s+(?:is|are)|this\s+is|the\s+following\s+is)"
_DID = r"(?:as\s+(?:you\s+)?requested|i(?:['’]ve|\s+have)?\s+(?:re-?(?:phrased|written|worded|wrote)|paraphrased))"
_REWRITING = r"(?:paraphras|re-?phras|re-?writ|re-?word)\w*"
_REWRITTEN = r"(?:paraphrased?|re-?phras(?:ed?|ing)|re-?write|re-?written|re-?worded)"
_TEXT = r"(?:version|text|document|article|passage|entry|rationale|reasoning|thoughts?|explanation|response|answer)"
_HELPS = rf"(?:(?:happy|glad|here)\s+to\s+(?:help|assist|{_REWRITING})|help\s+you)"
_WORDS = r"[^\n:]{0,200}?"
_END = r"[*_\"]*:[*_\"]*"

LEAD_INS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # "Sure!"; "Certainly, here is ..."; "Of course." on a line of its own
        rf"{_AGREES}(?:!+\s*|[.,:]?[ \t]*\n\s*|[,.]\s+(?={_SHOWS}|{_DID}|i\b))",
        r"here\s+(?:you\s+(?:go|are)|it\s+is)\s*[:!.]+\s*",
        # "I'd be happy to help." "I'll rewrite the passage as an article."
        rf"i(?:['’](?:d|ll|m)|\s+(?:would|will|can|am))\s+(?:be\s+)?(?:{_HELPS}|{_REWRITING})[^\n.!:]{{0,200}}[.!:]+\s*",
        # "Here's a rephrased version of the document, in simple words: ..."
        rf"[*_#\s]*(?:{_SHOWS}\b|{_DID}){_WORDS}\b{_REWRITING}\b{_WORDS}{_END}\s*",
        rf"[*_#\s]*{_DID}\b{_WORDS}{_END}\s*",
        # "Here is the text:" and the text on the next line
        rf"[*_#\s]*(?:here|below)(?:['’]s|\s+is)\b{_WORDS}\b{_TEXT}\b{_WORDS}{_END}[ \t]*\n\s*",
        # "Here is a paraphrased version of the document." in a paragraph of its own
        rf"[*_#\s]*(?:{_SHOWS}\b|{_DID})[^\n]{{0,200}}?\b{_REWRITING}\b[^\n]{{0,200}}[.!][*_]*[ \t]*\n\s*\n\s*",
        # "**Rewritten text:**", "Paraphrase:", "## Rephrased version"
        rf"[*_#\s]*{_REWRITTEN}(?:\s+{_TEXT})?(?:\s+of\s+the\s+{_TEXT})?\s*{_END}\s*",
        rf"[*_#\s]*{_REWRITTEN}\s+{_TEXT}(?:\s+of\s+the\s+{_TEXT})?[*_]*[ \t]*\n\s*",
    )
]
RULE = re.compile(r"(?:-{3,}|\*{3,}|_{3,})[ \t]*\n\s*")
MOST = 4
"""Lead-ins in a row: "Sure! I'd be happy to help. Here is a rephrased version: Rephrased text:"."""


def without_lead_in(text: str) -> str:
    """The text from where it begins; all of it if it begins at once. Empty if nothing else was said."""
    begins = text.lstrip()
    for _ in range(MOST):
        found = next((match for pattern in LEAD_INS if (match := pattern.match(begins))), None)
        if not found:
            break
        begins = begins[found.end() :]
        rule = RULE.match(begins)
        begins = begins[rule.end() :] if rule else begins
    return begins if len(begins) < len(text.lstrip()) else text
