"""Where an artifact came from: every step's output folder holds a `manifest.json`.

A step is finished when its manifest is there. It need not run again when that manifest names the same step, the
same inputs (by content) and the same settings: this comparison is the whole of our "workflow engine".
"""

import json
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.files import content_hash, locked, remove_artifact, text_hash, whole_or_nothing, write_whole

MANIFEST = "manifest.json"
NAMED_VERSIONS = (
    "numpy", "torch", "megatron-core", "sentencepiece", "sentence-transformers", "transformers", "faiss-cpu",
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
) -> Manifest:
    """Build `output` whole, or find that it is there already.

    Args:
        output: folder to make.
        step: name of the step, such as "tokenize".
        inputs: name -> file or artifact folder.
        settings: whatever changes the outcome; must be JSON.
        build: writes all files into the scratch folder it is given (which may hold what a killed build left)
            and returns the counts.
        replace: remove an artifact that other inputs or settings made, instead of refusing.

    Raises:
        InputError: another process builds it, or it exists and was made from something else.
    """
    hashes = {name: hash_of_input(path) for name, path in inputs.items()}
    with locked(output):
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
            counts = build(scratch)
            seconds = time.monotonic() - started
            files = list(scratch.rglob("*"))
            return seal(
                scratch, step=step, inputs=hashes, settings=settings, counts=counts, files=files, seconds=seconds
            )


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
        outputs={str(path.relative_to(folder)): content_hash(path) for path in kept},
        command=" ".join(sys.argv),
        versions=_versions(),
        seconds=round(seconds, 3),
    )
    write_whole(folder / MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n")
    return manifest


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
