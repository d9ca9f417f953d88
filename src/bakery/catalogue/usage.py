"""Errors of the command line, and of a run as a whole."""

from __future__ import annotations

from typing import Final

from bakery.catalogue.entry import Entry

ENTRIES: Final = (
    Entry(
        "usage/invalid",
        "The command line cannot be carried out as written",
        "An option or argument names something that does not exist, or two options exclude each other. Nothing "
        "was done, and the exit code is 2.",
        (
            "Two options were combined that contradict each other.",
            "An option was used that only applies to another kind of input.",
        ),
        (
            "Read the reason after the colon: it names the options.",
            "Run the command with `--help` to see its options.",
        ),
        "error[usage/invalid]: --verbose and --quiet exclude each other",
    ),
    Entry(
        "usage/command",
        "No such command",
        "The word after `bakery`, or after the name of a group, is not a command. The exit code is 2.",
        (
            "The name is misspelled.",
            "The command belongs to a plugin that is not installed here.",
        ),
        (
            "Follow the hint: it names the nearest command.",
            "Run `bakery --help` to list the commands.",
            "Install the plugin that provides the command into the same environment.",
        ),
        "error[usage/command]: no such command 'publsh'\nhint: run 'bakery publish'",
    ),
    Entry(
        "usage/option",
        "No such option",
        "The command does not have this option. Nothing was done, and the exit code is 2.",
        (
            "The name is misspelled.",
            "The option belongs to another command.",
        ),
        (
            "Follow the hint: it names the nearest option.",
            "Run the command with `--help` to list its options.",
        ),
        "error[usage/option]: no such option -J\nhint: run 'bakery check --help' to list the options",
    ),
    Entry(
        "usage/missing",
        "An argument or option is missing",
        "The command cannot run without a value that was not given. The exit code is 2.",
        (
            "The argument was left out.",
            "A shell pattern or a variable in a script expanded to nothing.",
        ),
        (
            "Add the value.",
            "In scripts, put variables in double quotes and check that they are set.",
        ),
        "error[usage/missing]: missing argument METADATA...\nhint: run 'bakery ci publish --help' for usage",
    ),
    Entry(
        "usage/value",
        "A value of an option or argument is invalid",
        "The value has the wrong form, or is not one of those that are allowed. If the value comes from an "
        "environment variable, the message names it. The exit code is 2.",
        (
            "The value is misspelled.",
            "An environment variable that sets the option has an old or wrong value.",
        ),
        (
            "Use one of the values that the message lists.",
            "Unset or correct the variable that the message names.",
        ),
        "error[usage/value]: invalid value for --engine (BAKERY_ENGINE): 'warp' is not one of 'native', 'cli'",
    ),
    Entry(
        "run/failed",
        "The work could not be finished",
        "Something failed that has no code of its own. The message says what, and the reason.",
        (
            "A file cannot be written.",
            "The result of an earlier step cannot be used.",
        ),
        (
            "Follow the hint, if there is one.",
            "Run the command with `--debug` to see where it failed.",
        ),
        "error[run/failed]: cannot write summary.md: No space left on device",
    ),
    Entry(
        "run/time-budget",
        "The time budget of the run is exceeded",
        "The run took longer than `--time-budget` allows, so it was ended. What was done is kept: content that "
        "was uploaded is not uploaded again.",
        (
            "A registry is slow, or throttles.",
            "A build that the run waits for comes late.",
            "The images are large for the bandwidth of the machine.",
        ),
        (
            "Run the same command again: it continues.",
            "Raise `--time-budget`.",
            "Run `bakery doctor` to measure the registries.",
        ),
        "error[run/time-budget]: cannot finish app-1-0-0: time budget of 1800 s exceeded",
    ),
    Entry(
        "run/internal",
        "A bug in Bakery",
        "An error occurred that Bakery does not expect. Other targets of the run are not affected.",
        ("There is a bug in Bakery, or in a plugin.",),
        (
            "Run the command again with `--debug`, and report the traceback.",
            "If a plugin is named in the traceback, report it to the plugin's authors.",
        ),
        "error[run/internal]: internal error: KeyError: 'digest'\n"
        "hint: set BAKERY_DEBUG=1, run the command again, and report the traceback",
    ),
    Entry(
        "system/limit",
        "A limit of the process is reached",
        "The system refuses another open file, thread or process, or more memory.",
        (
            "The limit (`ulimit -n`, `ulimit -u`, `ulimit -v`, or a limit of the container) is low.",
            "Too many jobs run at once.",
        ),
        (
            "Raise the limit, for example with `ulimit -n 1024`.",
            "Run fewer jobs with `--jobs`.",
        ),
        "error[system/limit]: the limit of open files is reached (ulimit -n)",
    ),
)
