"""Run and experiment files to frozen objects: checked once, then passed to whoever needs a part of them.

`schema.py` holds what a run is made of, `experiment.py` what a whole experiment is, `loading.py` reads both from YAML
and turns everything that is wrong with a file into an `InputError` that names its line and its remedy.
"""

from megatron_ext.config.experiment import (
    DataConfig,
    ExperimentConfig,
    PairingConfig,
    SynthesisConfig,
    TuningConfig,
)
from megatron_ext.config.loading import as_dict, load_experiment, load_run, run_from_dict
from megatron_ext.config.schema import (
    BatchConfig,
    CheckpointConfig,
    LayoutConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    SourceConfig,
    TrackingConfig,
)

__all__ = [
    "BatchConfig",
    "CheckpointConfig",
    "DataConfig",
    "ExperimentConfig",
    "LayoutConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PairingConfig",
    "RunConfig",
    "ScheduleConfig",
    "SourceConfig",
    "SynthesisConfig",
    "TrackingConfig",
    "TuningConfig",
    "as_dict",
    "load_experiment",
    "load_run",
    "run_from_dict",
]
