"""What --model names as a folder that an engine reads: a run of ours is exported first, once for each checkpoint.

The export lies in the run's folder, under `exports/`. It is made by a process of its own, since Megatron-core changes
torch for the whole process that it is loaded in, and by one only: others wait for it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.corpus.manifest import is_finished, read_manifest
from data_tools.errors import EndedEarly, InputError
from data_tools.files import content_hash, locked, require_file
from data_tools.processes import die_with_parent
from data_tools.text.tokenizer import model_file
from megatron_ext.checkpoint.folders import complete, is_checkpoint, resolve
from megatron_ext.checkpoint.integrity import INTEGRITY
from megatron_ext.config import run_from_dict
from megatron_ext.convert.record import RECORD, RUN_CONFIG

if TYPE_CHECKING:
    from data_tools.synthesis.engines.choice import EngineChoice, Kind

EXPORTS = "exports"
STDERR = 2
LONGEST_EXPORT = 3600.0
"""Seconds to wait for another process that exports the same run: minutes, for tens of billions of parameters."""


class ExportFailed(EndedEarly):
    """The process that exports ended badly; what it printed says why."""


def engine_model(model: str, corpus: Path) -> str:
    """The name or folder that an engine is to be given.

    Args:
        model: a run, one of its checkpoints, an imported model, or anything else, which is left to the engine.
        corpus: that documents are synthesized from.

    Raises:
        InputError: a run without a checkpoint, of another tokenizer than the corpus's, or in a folder that can't be
            written to.
        ExportFailed: the export ended badly.
    """
    path = Path(model)
    holder = path.parent.parent if is_checkpoint(path) else path
    if not is_checkpoint(path) and not _holds_checkpoints(path):
        return model
    if not (holder / RECORD).is_file():  # what was imported may have any tokenizer, and brings it along
        _require_tokenizer(holder, corpus)
    return str(_exported(resolve(path), corpus))


def _holds_checkpoints(folder: Path) -> bool:
    """A Hugging Face folder has a config.json too, but no plan."""
    return (folder / RECORD).is_file() or ((folder / RUN_CONFIG).is_file() and (folder / "plan.json").is_file())


def _exported(checkpoint: Path, corpus: Path) -> Path:
    holder = checkpoint.parent.parent
    # Named after the run too: it is what manifests and samples call the model.
    folder, wanted = holder / EXPORTS / f"{holder.resolve().name}-{checkpoint.name}", _identity(checkpoint)
    if _is_export_of(folder, wanted):
        return folder
    _require_writable(holder, checkpoint)
    with locked(holder / EXPORTS, wait=LONGEST_EXPORT):
        if not _is_export_of(folder, wanted):  # another process may have made it meanwhile
            arguments = ["convert", "export", str(checkpoint), str(folder), "--replace"]
            if not (holder / RECORD).is_file():
                arguments += ["--tokenizer", str(corpus)]  # it is the run's: see _require_tokenizer
            if _run_aside(arguments):
                raise ExportFailed(f"the export of {checkpoint} failed; the lines above say why")
    return folder


def engine_of(model: str, corpus: Path, *, kind: "Kind", **settings: Any) -> "EngineChoice":
    """What runs a model: of a server its name is left to the server, anything else is what `engine_model` makes of it.

    Args:
        model: as it was named.
        corpus: that documents are synthesized from, or that is judged.
        kind: of the engine.
        settings: of the choice, beside these.
    """
    from data_tools.synthesis.engines.choice import EngineChoice

    return EngineChoice(model=model if kind == "server" else engine_model(model, corpus), kind=kind, **settings)


def _run_aside(arguments: Sequence[str]) -> int:
    """Run a command of ours, what it prints on stderr: our stdout may hold one JSON value only. Its exit status."""
    quiet = {"PYTHONWARNINGS": "ignore::UserWarning,ignore::FutureWarning"}  # of torch and Megatron-core
    return subprocess.run(
        [sys.executable, "-m", "megatron_ext", *arguments], stdout=STDERR, env=quiet | os.environ, check=False,
        preexec_fn=die_with_parent,
    ).returncode  # fmt: skip


def _identity(checkpoint: Path) -> str:
    fix = "Name one of: " + ", ".join(path.name for path in complete(checkpoint.parent.parent))
    return content_hash(require_file(checkpoint / INTEGRITY, fix=fix))


def _is_export_of(folder: Path, identity: str) -> bool:
    return is_finished(folder) and read_manifest(folder).inputs.get(INTEGRITY) == identity


def _require_tokenizer(run: Path, corpus: Path) -> None:
    wanted = content_hash(model_file(corpus))
    known = _tokenizers_of(run)
    if not known:
        raise InputError(
            where=str(run), found="a run whose tokenizer isn't known: it names none, and its corpora are gone",
            expected=f"one trained with the tokenizer of {corpus}",
            fix=f"Export it with `megatron-ext convert export {run} FOLDER --tokenizer ...`, and name that folder.",
        )  # fmt: skip
    if other := next((place for place, found in known.items() if found != wanted), None):
        raise InputError(
            where=f"--model {run}", found=f"a run that was trained with another tokenizer ({other})",
            expected=f"the tokenizer of {corpus}", fix="Name a corpus of the run's own tokenizer, or another model.",
        )  # fmt: skip


def _tokenizers_of(run: Path) -> dict[str, str]:
    """Place -> hash of the tokenizer, as far as the run's file and corpora are still there."""
    path = run / RUN_CONFIG
    config = run_from_dict(json.loads(path.read_text()), where=str(path))
    found = {str(config.tokenizer): content_hash(model_file(config.tokenizer))} if config.tokenizer else {}
    for source in config.sources.values():
        if is_finished(source.corpus) and "tokenizer" in (settings := read_manifest(source.corpus).settings):
            found[str(source.corpus)] = settings["tokenizer"]
    return found


def _require_writable(holder: Path, checkpoint: Path) -> None:
    if not os.access(holder, os.W_OK | os.X_OK):
        raise InputError(
            where=str(holder), found="a run in a folder that can't be written to",
            expected=f"a place for its export in {EXPORTS}/",
            fix=f"Export it with `megatron-ext convert export {checkpoint} FOLDER`, and name that folder.",
        )  # fmt: skip
