"""Where an artifact came from: every step's output folder holds a `manifest.json`.

A step is finished when its manifest is there. It need not run again when that manifest names the same step, the
same inputs (by content) and the same settings: this comparison is the whole of our "workflow engine".
"""

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.files import (
    OTHERS_MAY_NEED,
    SHARDS,
    content_hash,
    locked,
    remove_artifact,
    text_hash,
    whole_or_nothing,
    write_whole,
)

MANIFEST = "manifest.json"
BUILDING = "building.json"
"""In a scratch folder: what its contents are being made from."""
NAMED_VERSIONS = (
    "numpy", "torch", "megatron-core", "gigatoken", "tokenizers", "sentencepiece", "sentence-transformers",
    "transformers", "faiss-cpu", "scann",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a step made, from what, and how."""

    step: str
    inputs: dict[str, str]
    """Name of each input -> hash of its content (of its manifest's outputs, where it is an artifact)."""
    settings: dict[str, Any]
    counts: dict[str, Any]
    """What came in, what was kept, what was dropped and why: documents, tokens, pairs."""
    outputs: dict[str, str]
    """File in the folder -> content hash."""
    command: str
    versions: dict[str, str]
    seconds: float

    @property
    def fingerprint(self) -> str:
        """Hash of the outputs' contents: equal for equal bytes, whenever and however they were made."""
        return text_hash(json.dumps(self.outputs, sort_keys=True))

    def made_by(self, step: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
        """Whether the same step, inputs and settings made this artifact."""
        return (self.step, self.inputs, self.settings) == (step, dict(inputs), _as_json(settings))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact.

    Raises:
        InputError: the folder or its manifest is missing or cannot be read.
    """
    path = folder / MANIFEST
    try:
        return Manifest(**json.loads(path.read_text()))
    except FileNotFoundError:
        raise InputError(
            where=str(path), found="no such file", expected="the manifest of a finished artifact",
            fix="Run the step that makes this folder first, or correct the path.",
        ) from None
    except (ValueError, TypeError) as error:
        raise InputError(
            where=str(path), found=f"a manifest that cannot be read ({error})", expected="one written by this program",
            fix="Remove the folder and build it again.",
        ) from None


def token_settings(corpus: Path) -> dict[str, Any]:
    """What a corpus's manifest says of its tokens: hash of the tokenizer, size of the vocabulary, end token."""
    settings = read_manifest(corpus).settings
    return {name: settings[name] for name in ("tokenizer", "vocabulary", "eos") if name in settings}


def is_finished(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def hash_of_input(path: Path) -> str:
    """Fingerprint of an artifact folder, content hash of a file."""
    if path.is_dir():
        return read_manifest(path).fingerprint
    if not path.is_file():
        raise InputError(
            where=str(path), found="no such file or folder", expected="an input of this step", fix="Correct the path."
        )
    return content_hash(path)


def run_step(
    output: Path,
    *,
    step: str,
    inputs: Mapping[str, Path],
    settings: Mapping[str, Any],
    build: Callable[[Path], Mapping[str, Any]],
    replace: bool = False,
    task: int | None = None,
) -> Manifest:
    """Build `output` whole, or find that it is there already.

    Args:
        output: folder to make.
        step: name of the step, such as "tokenize".
        inputs: name -> file or artifact folder.
        settings: whatever changes the outcome; must be JSON.
        build: writes all files into the scratch folder it is given and returns the counts. What a killed build of
            the same step, inputs and settings left lies there still; what others left does not. The folder
            `shards` (see workers) is no part of the output.
        replace: remove an artifact that other inputs or settings made, instead of refusing.
        task: number of this process among those that share the scratch folder, the tasks of a Slurm array.

    Raises:
        InputError: another process builds it, or it exists and was made from something else.
    """
    hashes = in_threads(hash_of_input, inputs)
    with locked(output if task is None else output.with_name(f"{output.name}.task-{task}")):
        if is_finished(output):
            manifest = read_manifest(output)
            if manifest.made_by(step, hashes, settings):
                return manifest
            if not replace:
                raise InputError(
                    where=str(output), found="an artifact made from other inputs or settings",
                    expected="a new folder, or the same inputs and settings",
                    fix="Choose another output, or remove this one first.",
                )
            remove_artifact(output)
        started = time.monotonic()
        with whole_or_nothing(output) as scratch:
            _keep_only_what_belongs(scratch, {"step": step, "inputs": hashes, "settings": _as_json(settings)})
            counts = build(scratch)
            seconds = time.monotonic() - started
            left = (BUILDING, SHARDS)
            files = [path for path in scratch.rglob("*") if path.relative_to(scratch).parts[0] not in left]
            manifest = seal(
                scratch, step=step, inputs=hashes, settings=settings, counts=counts, files=files, seconds=seconds
            )
            # First: without it what is left belongs to no build, and is removed.
            (scratch / BUILDING).unlink(missing_ok=True)
            if (scratch / SHARDS).exists():
                shutil.rmtree(scratch / SHARDS)
            return manifest


def _keep_only_what_belongs(scratch: Path, made_from: dict[str, Any]) -> None:
    """Empty a scratch folder that another step, other inputs or settings have left."""
    key = json.dumps(made_from, sort_keys=True)
    path = scratch / BUILDING
    with locked(scratch, wait=OTHERS_MAY_NEED):
        if path.exists() and path.read_text() == key:
            return
        for entry in scratch.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        write_whole(path, key)


def seal(
    folder: Path,
    *,
    step: str,
    inputs: Mapping[str, str],
    settings: Mapping[str, Any],
    counts: Mapping[str, Any],
    files: Iterable[Path],
    seconds: float,
) -> Manifest:
    """Write a folder's manifest: from then on it is finished.

    Args:
        folder: the artifact.
        step: name of the step that made it.
        inputs: name -> content hash.
        settings: whatever changed the outcome.
        counts: what came in, was kept, was dropped.
        files: those that make up the artifact; folders and the manifest itself are passed over.
        seconds: time that the step took.
    """
    kept = sorted(path for path in files if path.is_file() and path.name != MANIFEST)
    manifest = Manifest(
        step=step,
        inputs=dict(inputs),
        settings=_as_json(settings),
        counts=_as_json(counts),
        outputs=in_threads(content_hash, {str(path.relative_to(folder)): path for path in kept}),
        command=" ".join(sys.argv),
        versions=_versions(),
        seconds=round(seconds, 3),
    )
    write_whole(folder / MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n")
    return manifest


def in_threads(function: Callable[[Path], str], files: Mapping[str, Path]) -> dict[str, str]:
    """function(path) for each name; hashing leaves the interpreter to others, so it takes all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return dict(zip(files, threads.map(function, files.values()), strict=True))


def _as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """The value as it will be read back, so that tuples and lists compare equal."""
    return json.loads(json.dumps(dict(value), default=str))


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in NAMED_VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
