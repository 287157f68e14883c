"""Whether an artifact is still what its manifest says: every file by its hash, every index by its arithmetic.

A file that is missing, cut off, changed or not in the manifest is named, and of a corpus the first bad document.
Nothing is repaired here: see repair.
"""

from pathlib import Path

from data_tools.corpus.faults import Fault, faults
from data_tools.corpus.manifest import MANIFEST, Manifest, in_threads, read_manifest
from data_tools.errors import InputError
from data_tools.files import content_hash

REBUILD = "Remove the folder and build it again, or copy it again from where it is whole."
REPAIR = "Copy it again from where it is whole, build it again, or keep what is left with `megatron-ext data repair`."


def verify(folder: Path) -> Manifest:
    """The manifest of an artifact, once all of its files have been found to be as it says.

    Raises:
        InputError: a file is missing, was changed or was added, or an index contradicts itself or its tokens.
    """
    manifest = read_manifest(folder)
    for path, found in _changed(folder, manifest):
        raise _of_change(folder, manifest, path, found)
    # A run goes on living in its folder: logs, results, and checkpoints that have lists of their own.
    for path in sorted(folder.rglob("*")) if manifest.step != "train" else []:
        name = str(path.relative_to(folder))
        if path.is_file() and name not in manifest.outputs and name != MANIFEST:
            raise _bad(path, "a file that the manifest does not name", "only the files of the manifest")
    for prefix in _prefixes(folder):
        verify_corpus(prefix, **token_settings(manifest))
    return manifest


def verify_corpus(prefix: Path, *, eos: int | None = None, vocabulary: int | None = None) -> None:
    """Check that index, tokens and sidecars of a corpus agree.

    Args:
        prefix: of the corpus.
        eos: token that every document ends with; None where it is not known.
        vocabulary: tokens are below it; None where it is not known.

    Raises:
        InputError: they do not; the file at fault is named, and the first document.
    """
    for fault in faults(prefix, eos=eos, vocabulary=vocabulary):
        raise _bad(fault.path, fault.found, fault.expected, fix=REPAIR)


def token_settings(manifest: Manifest) -> dict[str, int | None]:
    """What a corpus's manifest says of its tokens: `eos` and `vocabulary`, where it does."""
    known = {name: manifest.settings.get(name) for name in ("eos", "vocabulary")}
    return {name: value if isinstance(value, int) else None for name, value in known.items()}


def _changed(folder: Path, manifest: Manifest) -> list[tuple[Path, str]]:
    """Files whose content is not what the manifest says, and what was found."""
    files = {name: folder / name for name in sorted(manifest.outputs)}
    for name, path in files.items():
        if not path.is_file():
            raise _bad(path, "no such file", f"a file with hash {manifest.outputs[name]}")
    return [
        (files[name], f"hash {found} ({files[name].stat().st_size} bytes)")
        for name, found in in_threads(content_hash, files).items()
        if found != manifest.outputs[name]
    ]


def _of_change(folder: Path, manifest: Manifest, path: Path, found: str) -> InputError:
    """A changed file's error; of a corpus with the first document that a change can be seen in."""
    seen: list[str] = []
    for prefix in _prefixes(folder):
        if path.name.startswith(prefix.name + "."):
            try:
                seen = [_words(fault) for fault in faults(prefix, **token_settings(manifest))][:1]
            except InputError as error:
                seen = [str(error).splitlines()[0].removesuffix(".")]
            seen = seen or ["no document shows it by its end or by tokens out of range"]
    expected = f"hash {manifest.outputs[str(path.relative_to(folder))]}"
    return _bad(path, "; ".join([found, *seen]), expected, fix=REPAIR if seen else REBUILD)


def _words(fault: Fault) -> str:
    return f"first in {fault.path.name}: {fault.found}, not {fault.expected}"


def _prefixes(folder: Path) -> list[Path]:
    return [index.with_suffix("") for index in sorted(folder.rglob("*.idx"))]


def _bad(path: Path, found: str, expected: str, *, fix: str = REBUILD) -> InputError:
    return InputError(where=str(path), found=found, expected=expected, fix=fix)
