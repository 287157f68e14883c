"""The `megatron-ext` command: its parts, and what its exit status says.

0 done, 1 failed while running, 2 bad input, 130 interrupted. What a user got wrong ends in a message without a
traceback, on stderr; anything else that goes wrong is ours and shows where. `--help` waits for neither numpy nor torch.
"""

import errno
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from data_tools.errors import EXIT_FAILED, EndedEarly, InputError
from megatron_ext.cli import (
    check_commands,
    compare_commands,
    convert_commands,
    data_commands,
    knowledge_commands,
    launch_commands,
    pairing_commands,
    quality_commands,
    run_commands,
    stage_commands,
    status_commands,
    sweep_commands,
    sync_commands,
    synth_commands,
)

EXIT_INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    help="Synthetic data pretraining: from documents to corpora, plans, trained models and a report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for part in (pairing_commands.app, check_commands.app):
    data_commands.app.add_typer(part)  # without a name: its commands stand among the others
app.add_typer(data_commands.app, name="data")
app.add_typer(synth_commands.app, name="synth")
app.add_typer(convert_commands.app, name="convert")
app.add_typer(knowledge_commands.app, name="knowledge")
run_commands.add_to(app)
app.command("status")(status_commands.status)
app.command("sync")(sync_commands.sync)
app.command("sweep")(sweep_commands.sweep)
app.command("compare")(compare_commands.compare)
app.command("quality")(quality_commands.quality)
app.command("concepts")(quality_commands.concepts)
app.command("launch")(launch_commands.launch)
app.command("stage")(stage_commands.stage)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    command = typer.main.get_command(app)
    try:
        status = command.main(args=arguments, prog_name="megatron-ext", standalone_mode=False)
        sys.stdout.flush()
    except (InputError, EndedEarly) as error:
        _complain(str(error))
        return error.status
    except (KeyboardInterrupt, typer.Abort):
        status = EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): no complaint, neither now nor when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        if error.errno not in DISK_FULL:
            return _usage_or_failure(error)
        where = error.filename or "the output"
        _complain(f"{where}: {error.strerror}. Free some space and run the same command again.")
        return EXIT_FAILED
    except FloatingPointError as error:
        _complain(str(error))
        return EXIT_FAILED
    except Exception as error:
        return _usage_or_failure(error)
    if status == EXIT_INTERRUPTED:  # newer parsers answer Ctrl-C with this status, older ones raise
        _complain("interrupted")
    return status if isinstance(status, int) else 0


def _usage_or_failure(error: Exception) -> int:
    # What the parser refuses shows itself and knows its status. Typer may bring its own copy of click, so the
    # class is told by what it can do.
    show, status = getattr(error, "show", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(status, int):
        show()
        return status
    traceback.print_exc()
    return EXIT_FAILED


def _complain(message: str) -> None:
    rank = os.environ.get("RANK", "0")
    print(message if rank == "0" else f"[rank {rank}] {message}", file=sys.stderr, flush=True)
