"""Run and experiment files to frozen objects: checked once, then passed to whoever needs a part of them.

`schema.py` holds what a run is made of (its parts are in `model.py`, `data.py` and `training.py`), `experiment.py` what
a whole experiment is, `sweep.py` a grid of runs, `comparison.py` arms that are compared, `cluster.py` where runs are
launched. `loading.py` reads them from YAML and turns everything that is wrong with a file into an `InputError` that
names its line and its remedy.
"""

from megatron_ext.config.cluster import ClusterConfig
from megatron_ext.config.comparison import ComparisonConfig
from megatron_ext.config.data import BlendConfig, PhaseConfig, SourceConfig
from megatron_ext.config.evaluation import EvaluationConfig
from megatron_ext.config.experiment import (
    DataConfig,
    ExperimentConfig,
    PairingConfig,
    SynthesisConfig,
    TuningConfig,
)
from megatron_ext.config.fields import Duration
from megatron_ext.config.knowledge import KnowledgeConfig
from megatron_ext.config.loading import (
    as_dict,
    load_cluster,
    load_comparison,
    load_experiment,
    load_run,
    load_sweep,
    model_from_dict,
    run_from_dict,
)
from megatron_ext.config.model import LayoutConfig, ModelConfig, RopeScaling, require_ranks
from megatron_ext.config.schema import CheckpointConfig, RunConfig, TrackingConfig
from megatron_ext.config.training import BatchConfig, LimitsConfig, OptimizerConfig, RampStage, ScheduleConfig

__all__ = [
    "BatchConfig",
    "BlendConfig",
    "CheckpointConfig",
    "ClusterConfig",
    "ComparisonConfig",
    "DataConfig",
    "Duration",
    "EvaluationConfig",
    "ExperimentConfig",
    "KnowledgeConfig",
    "LayoutConfig",
    "LimitsConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PairingConfig",
    "PhaseConfig",
    "RampStage",
    "RopeScaling",
    "RunConfig",
    "ScheduleConfig",
    "SourceConfig",
    "SynthesisConfig",
    "TrackingConfig",
    "TuningConfig",
    "as_dict",
    "load_cluster",
    "load_comparison",
    "load_experiment",
    "load_run",
    "load_sweep",
    "model_from_dict",
    "require_ranks",
    "run_from_dict",
]
