"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Documents = Annotated[list[Path], typer.Argument(help="Files of documents: .jsonl, .jsonl.gz or .jsonl.zst.")]
Output = Annotated[Path, typer.Argument(help="Folder to write.")]
Replace = Annotated[bool, typer.Option("--replace", help="Remove an output made from other inputs or settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the manifest for a program.")]
Workers = Annotated[
    int, typer.Option(min=1, help="Processes; under mpiexec or srun the ranks work, in a Slurm array its tasks.")
]
TextKey = Annotated[str, typer.Option(help="Key of the text; a.b for b inside of a.")]
IdKey = Annotated[str, typer.Option(help="Key of the document's name.")]
MaxBadShare = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the records that may be unusable.")]
