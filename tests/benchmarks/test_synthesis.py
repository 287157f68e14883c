"""The benchmark of the synthesis driver: that it runs, and what it ends with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "synthesis.py"


@pytest.mark.slow
def test_the_benchmark_of_synthesis_ends_with_the_ratio_of_the_driver():
    command = [sys.executable, "-W", "ignore", str(SCRIPT), "--quick", "--engines", "server"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(output.splitlines()[-1])
    assert result["ratios"].keys() == {"driver", "driver_server", "whole_server"}
    assert result["ratios"]["driver"] > 0.5  # a short run on a busy machine says no more
    assert [row["who"] for row in result["figures"]["rows"]] == ["driver", "whole", "direct"]
