"""The page in a real browser: every plot is drawn, and nothing is complained of."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from megatron_ext.report import build_report
from tests.megatron_ext.report.experiments import asked, experiment, start, step, write_lines

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PLOTS = ("heldout", "benchmarks", "curves", "live-0")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium here: apt-get install chromium")


def opened(page: Path, *options: str) -> tuple[str, str]:
    """(the document after its scripts have run, what was said on the console)."""
    done = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000",
         "--enable-logging=stderr", *options, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def drawn(document: str) -> set[str]:
    """Names of the elements that Plotly has made a plot of."""
    return set(re.findall(r'<div id="([a-z0-9-]+)"[^>]*class="[^"]*js-plotly-plot', document))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    hard = np.random.default_rng(0).normal(0, 1, 60)
    losses = {"baseline": hard + 5, "sbp": hard + 4.8, "oracle": hard + 4.5}
    folder = experiment(tmp_path_factory.mktemp("opened"), losses=losses)
    for place, name in enumerate(losses):
        asked(folder / "arms" / name, "sciq", [n < 30 + 10 * place for n in range(100)])
        asks = [{"event": "evaluation", "step": n, "tokens": 100 * n, "sciq/acc": n / 10} for n in (1, 2)]
        write_lines(folder / "arms" / name / "events.jsonl", [start(0), step(1, 3.0), start(1), step(2, 2.9), *asks])
    build_report(folder)
    return folder / "report.html"


@pytest.mark.parametrize(
    "options", [(), ("--force-dark-mode", "--window-size=390,800")], ids=["wide", "dark on a phone"]
)
def test_every_plot_is_drawn_and_the_console_stays_silent(page, options):
    document, console = opened(page, *options)
    assert console == ""
    assert drawn(document) == set(PLOTS)


def test_a_plot_without_anything_to_draw_leaves_no_error(tmp_path):
    folder = experiment(tmp_path, losses={})
    build_report(folder)
    document, console = opened(folder / "report.html")
    assert console == ""
    assert drawn(document) == set()
