"""What each arm costs in compute: matched in tokens, and with everything that its data took.

SBP pays for the baseline that its synthesizer starts from, for tuning, and for writing the documents. Whether those
belong into a fair match is nobody's settled view, so both are told: the arms are matched in trained tokens, and beside
that stands what the baseline could have read for all that SBP takes.
"""

from collections.abc import Mapping
from typing import Any

BASELINE, SBP = "baseline", "sbp"
PARTS = {
    "training": "training the arm",
    "tuning": "synthesizer-tuning",
    "synthesis": "synthesis",
    "start": "the baseline, from which the synthesizer starts",
}


def compute(arms: Mapping[str, Mapping[str, Any]], cost: Mapping[str, Any], *, longer: str) -> dict[str, Any] | None:
    """FLOPs of each arm by part, in all, and as multiples of the baseline's. None until baseline and SBP are planned.

    Args:
        arms: numbers of each.
        cost: "tuning_flops", "synthesis_flops"; None where they are not known yet.
        longer: the arm that is the baseline trained for the compute of SBP; it needs not be there.

    Returns:
        "arms": name -> {"training", "tuning", "synthesis", "start", "total", "times"}; "tokens_for_the_same": tokens
        that the baseline could be trained on for all that SBP takes, for what it takes besides that baseline too.
    """
    if not {BASELINE, SBP} <= arms.keys():
        return None
    of_baseline = arms[BASELINE]["flops"]
    per_token = of_baseline / arms[BASELINE]["tokens"]["trained"]
    told = {name: _parts(name, arm["flops"], of_baseline, cost) for name, arm in arms.items()}
    total = told[SBP]["total"]
    return {
        "arms": told,
        "tokens_for_the_same": None if total is None else {
            "in_all": round(total / per_token), "without_the_start": round((total - of_baseline) / per_token),
        },
        "longer": longer if longer in arms else None,
    }  # fmt: skip


def _parts(name: str, training: int, of_baseline: int, cost: Mapping[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {"training": training, "tuning": 0, "synthesis": 0, "start": 0}
    if name == SBP:
        parts |= {"tuning": cost["tuning_flops"], "synthesis": cost["synthesis_flops"], "start": of_baseline}
    total = None if None in parts.values() else sum(parts.values())
    return parts | {"total": total, "times": None if total is None else total / of_baseline}
