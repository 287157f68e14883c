"""Models of the Llama family between Hugging Face folders and checkpoints of ours, both ways and bit by bit.

`names.py` says which part of which of Megatron-core's tensors each Hugging Face tensor is, `hf_config.py` what the keys
of `config.json` mean, `shards.py` how folders of safetensors are read and written, and `record.py` what a folder of
ours holds. `importing.py` and `exporting.py` put them together.
"""
