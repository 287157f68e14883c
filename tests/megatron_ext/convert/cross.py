"""Import models, take Megatron-core's logits, and export them again: run as a process of its own by the tests.

Called with the most bytes in an exported file, and with folders. Each holds `hf`; `imported`, `ours.pt` (logits),
`loss.txt` and `exported` are written beside it. Megatron-core on a CPU changes torch for the whole process, so
transformers is asked for its logits elsewhere.
"""

import sys
from pathlib import Path

import torch

from megatron_ext.convert import whole
from megatron_ext.convert.exporting import export_hf
from megatron_ext.convert.importing import import_hf
from megatron_ext.convert.record import read_record
from tests.megatron_ext.convert.core_logits import our_logits
from tests.megatron_ext.convert.models import tokens_RS


def our_loss(folder: Path) -> float:
    """Mean loss of predicting each token itself: any labels do to compare softmaxes."""
    tokens = tokens_RS()
    with whole.whole_model(read_record(folder)) as model, torch.no_grad():
        whole.load(model, whole.newest(folder))
        places = torch.arange(tokens.shape[1]).expand_as(tokens)
        return model[0].eval()(tokens, places, None, labels=tokens).mean().item()


def cross(folder: Path, shard_bytes: int) -> None:
    import_hf(folder / "hf", folder / "imported")
    vocabulary = read_record(folder / "imported").model.vocabulary
    torch.save(our_logits(folder / "imported", vocabulary), folder / "ours.pt")
    (folder / "loss.txt").write_text(str(our_loss(folder / "imported")))
    export_hf(folder / "imported", folder / "exported", shard_bytes=shard_bytes)


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        cross(Path(argument), int(sys.argv[1]))
