"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Documents = Annotated[
    list[Path],
    typer.Argument(
        help="Documents: .jsonl (also .gz, .zst) and .parquet files, .txt and .md files of one document each,"
        " folders of such files, globs in quotes, and what `data clean` or `data dedup` wrote."
    ),
]
TextKey = Annotated[str, typer.Option(help="Key of the text in a record; `a.b` is the key b inside of a.")]
IdKey = Annotated[str, typer.Option(help="Key of the name; records without are named after their place in the file.")]
SourceKey = Annotated[str, typer.Option(help="Key of the collection; without, it is the file.")]
LicenceKey = Annotated[str, typer.Option(help="Key of the terms.")]
MaxBadShare = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Share of the records that may be unusable, besides ten; 0 allows none. See rejects.jsonl.",
    ),
]
Output = Annotated[Path, typer.Argument(help="Folder to write.")]
Replace = Annotated[bool, typer.Option("--replace", help="Remove an output made from other inputs or settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the manifest for a program.")]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes; under mpiexec or srun the ranks work, in a Slurm array its tasks.")
]
