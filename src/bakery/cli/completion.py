"""`--show-completion` and `--install-completion`: click's script for a shell, printed or put where it is read."""

from __future__ import annotations

import os
from pathlib import Path

import click

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_BAKERY_COMPLETE"
_MINE = "mine"  # the option without a value: the shell of whoever calls


def _show(ctx: click.Context, _option: click.Parameter, shell: str | None) -> None:
    if shell is not None and not ctx.resilient_parsing:
        click.echo(_script(ctx.command, _known(shell)), nl=False)
        ctx.exit()


def _install(ctx: click.Context, _option: click.Parameter, shell: str | None) -> None:
    if shell is not None and not ctx.resilient_parsing:
        known = _known(shell)
        file = install(known, _script(ctx.command, known), Path.home())
        click.echo(f"{known} completion is in {file}. It works in every terminal that is opened from now on")
        ctx.exit()


showing = click.option(
    "--show-completion", is_flag=False, flag_value=_MINE, metavar="[bash|zsh|fish]", is_eager=True, callback=_show,
    expose_value=False, help="Print what completes commands and options in this shell.",
)  # fmt: skip
installing = click.option(
    "--install-completion", is_flag=False, flag_value=_MINE, metavar="[bash|zsh|fish]", is_eager=True,
    callback=_install, expose_value=False, help="Put that where the shell reads it.",
)  # fmt: skip


def install(shell: str, script: str, home: Path) -> Path:
    """Write the script below `home`, and have the shell's start file read it. Gives the script's file."""
    file, start, line = {
        "bash": (".bash_completions/bakery.sh", ".bashrc", "source ~/.bash_completions/bakery.sh"),
        "zsh": (".zfunc/_bakery", ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
        "fish": (".config/fish/completions/bakery.fish", "", ""),  # which fish reads by itself
    }[shell]
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(script, encoding="utf-8")
    if start:
        before = (home / start).read_text(encoding="utf-8") if (home / start).exists() else ""
        if line not in before.splitlines():
            with (home / start).open("a", encoding="utf-8") as stream:
                stream.write(f"{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n")
    return home / file


def _known(shell: str) -> str:
    name = Path(os.environ.get("SHELL", "bash")).name if shell == _MINE else shell
    if name not in SHELLS:
        raise click.BadParameter(f"{name!r} is none of {', '.join(SHELLS)}")
    return name


def _script(command: click.Command, shell: str) -> str:
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    return made(command, {}, "bakery", _VARIABLE).source()
