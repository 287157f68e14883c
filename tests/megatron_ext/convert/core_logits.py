"""Megatron-core's logits of a run or of an imported model: a program, as Megatron-core on a CPU changes torch for good.

Called with the folder, the tokens of the vocabulary, and the file to write.
"""

import sys
from pathlib import Path

import torch

from megatron_ext.convert import whole
from megatron_ext.convert.record import read_record
from tests.megatron_ext.convert.models import tokens_RS


def our_logits(folder: Path, vocabulary: int) -> torch.Tensor:
    tokens = tokens_RS() % vocabulary
    with whole.whole_model(read_record(folder)) as model, torch.no_grad():
        whole.load(model, whole.newest(folder))
        places = torch.arange(tokens.shape[1]).expand_as(tokens)
        return model[0].eval()(tokens, places, None)[..., :vocabulary].float()


if __name__ == "__main__":
    torch.save(our_logits(Path(sys.argv[1]), int(sys.argv[2])), sys.argv[3])
