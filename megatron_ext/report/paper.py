"""What Synthetic Bootstrapped Pretraining reports, for comparison: its table 1, and how its rows are named here."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["perplexity", "accuracy"]


@dataclass(frozen=True)
class Row:
    """A benchmark of the table: the baseline's figure, then what SBP and the oracle differ from it by."""

    title: str
    kind: Kind
    at_200b: tuple[float, float, float]
    at_1t: tuple[float, float, float]


ROWS = {
    "openwebtext2": Row("OpenWebText2", "perplexity", (5.74, -0.53, -1.02), (4.51, -0.02, -0.12)),
    "lambada": Row("LAMBADA", "perplexity", (6.87, -0.85, -1.86), (4.33, -0.03, -0.22)),
    "mmlu_5shot": Row("Five-shot MMLU", "perplexity", (3.83, -0.36, -0.51), (3.17, -0.06, -0.05)),
    "arc_challenge": Row("ARC-Challenge (0-shot)", "accuracy", (35.32, 1.28, 2.82), (42.66, 1.62, 3.84)),
    "arc_easy": Row("ARC-Easy (0-shot)", "accuracy", (68.94, 2.65, 4.29), (75.63, 0.42, 2.11)),
    "sciq": Row("SciQ (0-shot)", "accuracy", (90.50, 1.00, 2.40), (93.20, 0.80, 0.50)),
    "winogrande": Row("Winogrande (0-shot)", "accuracy", (60.14, 1.90, 5.53), (65.19, 1.42, 2.92)),
    "triviaqa": Row("TriviaQA (1-shot)", "accuracy", (22.51, 3.36, 7.37), (36.07, 0.25, 0.59)),
    "webqs": Row("WebQS (1-shot)", "accuracy", (8.56, 3.74, 10.83), (19.34, 0.54, 0.44)),
}
"""By the name that lm-eval, or a task file, gives a benchmark. Accuracies in percent."""

NO_QUESTIONS = ("lambada_openai", "lambada_standard", "hellaswag")
"""Tasks of lm-eval with an accuracy that is none of answers to questions, and stays out of the average."""
AVERAGE = Row("Average QA accuracy", "accuracy", (47.66, 2.32, 5.54), (55.35, 0.84, 1.73))
SCALES = ("200B", "1T")
