"""The `sync` command: what was logged while W&B was out of reach is uploaded, by W&B's own means."""

from pathlib import Path
from typing import Annotated

import typer

from megatron_ext.cli.options import AsJson
from megatron_ext.cli.output import say


def sync(
    folder: Annotated[Path, typer.Argument(help="Run folder, or a folder of runs.")],
    online: Annotated[
        bool, typer.Option("--online", help="Also what was logged online, where the connection was lost.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Upload the curves that runs have logged offline to W&B; what is there already is passed over.

    Needs a network and a key: `wandb login` or WANDB_API_KEY, and WANDB_BASE_URL for a server of your own. The part
    that a live run is writing is left for later: call this again, as often as you like.

    \b
    Example: megatron-ext sync runs/my_run
    Example: megatron-ext sync runs/my_experiment
    """
    import json
    from dataclasses import asdict

    from data_tools.errors import EXIT_FAILED
    from launch.status import runs_below
    from launch.uploads import upload

    done = []
    for run in runs_below(folder):
        found = upload(run, online=online)
        done.append(found)
        if not as_json:
            live = f", {len(found.being_written)} being written" if found.being_written else ""
            failed = f", {len(found.failed)} failed: call this again" if found.failed else ""
            say(f"{found.run}: {len(found.uploaded)} parts uploaded, {len(found.before)} before{live}{failed}")
    if as_json:
        say(json.dumps([asdict(each) for each in done], indent=1))
    if any(each.failed for each in done):
        raise typer.Exit(EXIT_FAILED)
