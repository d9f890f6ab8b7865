"""The `medley` command: a table of commands, loaded one at a time, and how errors reach a person.

Knows the name, module and one-line help of every command, so that `medley --help` and `medley status`
load neither a model library nor the web framework. Each command file says what it does with the engine.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from search.errors import MedleyError, QueryError, UsageError

WRONG_USAGE = 2
FAILURE = 1
INTERRUPTED = 130

#: name -> (module, attribute, help)
COMMANDS = {
    "index": ("api.cli.index", "index", "Add files and folders and make them searchable."),
    "search": ("api.cli.search", "search", "Find by text, picture, sound, or something like a known asset."),
    "ask": ("api.cli.ask", "ask", "Answer a question from the library, with citations."),
    "duplicates": ("api.cli.duplicates", "duplicates", "Copies, altered copies, and pictures of the same thing."),
    "status": ("api.cli.account", "status", "The account of every file."),
    "failures": ("api.cli.account", "failures", "Every file that failed, with its reason."),
    "worker": ("api.cli.worker", "worker", "Index what is pending until stopped."),
    "serve": ("api.cli.serve", "serve", "Serve HTTP and the web page."),
    "spaces": ("api.cli.spaces", "spaces", "Embedding spaces: create, fill, compare, switch."),
    "audit": ("api.cli.audit", "audit", "Check files, vectors, recall and fingerprints."),
    "keys": ("api.cli.keys", "keys", "API keys and their scopes."),
    "migrate": ("api.cli.migrate", "migrate", "Bring the catalogue's tables to this version's form."),
    "backup": ("api.cli.backup", "backup", "Write the whole state into one file."),
    "restore": ("api.cli.backup", "restore", "Read the whole state from a backup."),
}


class LazyGroup(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, _, help_text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="medley", prog_name="medley")
def medley() -> None:
    """Find photos, sounds, spoken words and moments in videos by meaning.

    Settings come from MEDLEY_* variables and from medley.toml in MEDLEY_HOME.
    """


def main() -> None:
    """Entry point of the `medley` script."""
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
