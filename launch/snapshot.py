"""The code that a job runs: a copy beside its script, so that no later edit changes a job that is queued."""

import json
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("data_tools", "launch", "megatron_ext")
ROOT = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


def keep_code(folder: Path, *, root: Path = ROOT) -> None:
    """Copy our packages to `folder`, and write beside them which commit they are, and what differs from it.

    Args:
        folder: to be made.
        root: where the packages stand.
    """
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=LEFT_OUT)
    commit = _git(root, "rev-parse", "HEAD")
    if commit is not None:
        changed = _git(root, "diff", "HEAD", "--", *PACKAGES) or ""
        (folder / "commit.json").write_text(json.dumps({"commit": commit.strip(), "changed": bool(changed)}) + "\n")
        (folder / "changes.diff").write_text(changed)


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; None where there is no git, or the packages are not in a checkout."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
