"""A process of test_tracking.py: logs steps first to last to a run folder, and waits for the file `<run>.go_on` there.

Called with the folder, the mode of W&B, and both steps. It then logs one more step, notes that it was stopped, and
closes.
"""

import sys
import time
from pathlib import Path

from megatron_ext.config import run_from_dict
from megatron_ext.training.tracking import Tracker, wandb_id
from tests.support import run_settings


def main(folder, mode, first, last):
    tracking = {"wandb": mode, "tensorboard": False}
    config = run_from_dict(run_settings(Path("corpus"), steps=4, tracking=tracking), where="test")
    run_id = wandb_id(Path(folder), None)
    tracker = Tracker(Path(folder), config, run_id=run_id, active=True)
    for step in range(int(first), int(last) + 1):
        log(tracker, step)
    end = time.monotonic() + 120  # not for ever: a test that fails leaves nobody behind
    while not Path(folder).with_suffix(".go_on").exists() and time.monotonic() < end:
        time.sleep(0.02)
    log(tracker, int(last) + 1)
    tracker.event("stopped", step=int(last) + 1, signal="SIGUSR1")
    tracker.close()


def log(tracker, step):
    numbers = {"loss": 5.0 - step, "loss/real": 4.0 - step, "seconds": 1.0, "checkpoint_seconds": 0.0}
    tracker.step(step=step, tokens=step * 128, skipped_steps=0, **numbers)


if __name__ == "__main__":
    main(*sys.argv[1:])
