"""Ranks that train several runs one after the other: starting Python and torch takes longer than a small run.

Called by a launcher with run files; each is trained into the folder of its name.
"""

import sys
from pathlib import Path

from megatron_ext.cli.local import die_with_parent
from megatron_ext.config import load_run
from megatron_ext.training.run import train

if __name__ == "__main__":
    die_with_parent()
    for run_file in map(Path, sys.argv[1:]):
        train(load_run(run_file), run_file.with_suffix(""))
