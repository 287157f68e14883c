"""`python -m megatron_ext`, the same as `megatron-ext`.

The guard matters: Megatron-core starts processes to save checkpoints, and they import this file again.
"""

import sys

from megatron_ext.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
