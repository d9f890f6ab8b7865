"""The `medley` command: a table of commands, loaded one at a time, and how errors reach a person.

Knows the name, module and one-line help of every command, so that `medley --help` and `medley status`
load neither a model library nor the web framework. Each command file says what it does with the engine.
"""

from __future__ import annotations

import difflib
import faulthandler
import importlib
import os
import sys

import click

from api.cli import address_space
from search import distribution
from search.errors import MedleyError, QueryError, UsageError

WRONG_USAGE = 2
FAILURE = 1
INTERRUPTED = 130

#: name -> (module, attribute, help)
COMMANDS = {
    "index": ("api.cli.index", "index", "Add files and folders and make them searchable."),
    "import": ("api.cli.bulk.importing", "import_shards", "Take in the shards that a bulk job wrote."),
    "search": ("api.cli.search", "search", "Find by text, picture, sound, or something like a known asset."),
    "ask": ("api.cli.ask", "ask", "Answer a question from the library, with citations."),
    "saved": ("api.cli.saved", "saved", "Searches that are kept, and new files that match them."),
    "duplicates": ("api.cli.duplicates", "duplicates", "Copies, altered copies, and pictures of the same thing."),
    "status": ("api.cli.status", "status", "The account of every file."),
    "failures": ("api.cli.status", "failures", "Every file that failed, with its reason."),
    "setup": ("api.cli.setup", "setup", "Install the model weights."),
    "worker": ("api.cli.worker", "worker", "Index what is pending until stopped."),
    "encode": ("api.cli.encode", "encode", "Serve the encoders alone, for other processes."),
    "serve": ("api.cli.serve", "serve", "Serve HTTP and the web page."),
    "spaces": ("api.cli.spaces.commands", "spaces", "Embedding spaces: create, fill, compare, switch."),
    "eval": ("api.cli.spaces.evaluate", "evaluate", "Measure spaces on your own judgements."),
    "judgements": ("api.cli.spaces.evaluate", "judgements", "What people said of results."),
    "audit": ("api.cli.audit", "audit", "Check files, vectors, recall and fingerprints."),
    "keys": ("api.cli.keys", "keys", "API keys and their scopes."),
    "migrate": ("api.cli.migrate", "migrate", "Bring the catalogue's tables to this version's form."),
    "backup": ("api.cli.backup", "backup", "Write the whole state into one file."),
    "restore": ("api.cli.backup", "restore", "Read the whole state from a backup."),
}


class LazyGroup(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Their names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of that name, imported now; None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a command that does not exist is answered with the one that was most likely meant."""
        name = args[0]
        meant = difflib.get_close_matches(name.lower(), COMMANDS, n=1, cutoff=0.6)
        if name not in COMMANDS and meant and not name.startswith("-"):
            raise click.UsageError(f"there is no command {name!r}; did you mean {meant[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, _, help_text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name=distribution.NAME, prog_name="medley")
@click.pass_context
def medley(context: click.Context) -> None:
    """Find photos, sounds, spoken words and moments in videos by meaning.

    Begin with `medley index FOLDER`, then `medley search "a dog on the beach"`, or `medley serve` for the web page.

    Settings come from MEDLEY_* variables and from medley.toml in MEDLEY_HOME.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
    else:
        address_space.check(context.invoked_subcommand)


def main() -> None:
    """Entry point of the `medley` script."""
    faulthandler.enable()  # a library that crashes is named, instead of a shell that says "Segmentation fault"
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; the exit status says how it went, standard error why."""
    try:
        outcome = medley.main(arguments, prog_name="medley", standalone_mode=False)
        # click hands back the status of `ctx.exit(n)` and a command's return value alike.
        return outcome if isinstance(outcome, int) else 0
    except click.ClickException as error:
        return _say(error.format_message(), error.exit_code, _help_line(error))
    except (click.Abort, KeyboardInterrupt):
        return _say("stopped", INTERRUPTED)
    except UsageError as error:
        return _say(str(error), WRONG_USAGE, _place(error))
    except MedleyError as error:
        return _say(str(error), FAILURE)
    except BrokenPipeError:
        # The reader (`| head`) went away; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except Exception as error:
        if os.environ.get("MEDLEY_LOG_LEVEL", "").lower() == "debug":
            raise
        return _say(f"unexpected {type(error).__name__}: {error}", FAILURE, "MEDLEY_LOG_LEVEL=debug shows where.")


def _help_line(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"Try '{context.command_path} --help'." if context else None


def _place(error: UsageError) -> str | None:
    position = error.position if isinstance(error, QueryError) else None
    return None if position is None else f"at character {position + 1} of the query"


def _say(message: str, status: int, second_line: str | None = None) -> int:
    first = " ".join(message.split()) or "failed"
    print(f"medley: {first}", file=sys.stderr)
    if second_line:
        print(second_line, file=sys.stderr)
    return status
