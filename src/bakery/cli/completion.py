"""`--show-completion` and `--install-completion`: click's completion script of a shell, printed or installed."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bakery.files import is_there

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_BAKERY_COMPLETE"
_MINE = "mine"  # the option without a value: the user's shell


def _show(ctx: click.Context, _option: click.Parameter, shell: str | None) -> None:
    if shell is not None and not ctx.resilient_parsing:
        click.echo(_script(ctx.command, _known(shell)), nl=False)
        ctx.exit()


def _install(ctx: click.Context, _option: click.Parameter, shell: str | None) -> None:
    if shell is not None and not ctx.resilient_parsing:
        known = _known(shell)
        file = install(known, _script(ctx.command, known), Path.home())
        click.echo(f"Installed {known} completion in {file}. It takes effect in new terminals.")
        ctx.exit()


showing = click.option(
    "--show-completion", is_flag=False, flag_value=_MINE, metavar="[bash|zsh|fish]", is_eager=True, callback=_show,
    expose_value=False, help="Print the completion script of this shell.",
)  # fmt: skip
installing = click.option(
    "--install-completion", is_flag=False, flag_value=_MINE, metavar="[bash|zsh|fish]", is_eager=True,
    callback=_install, expose_value=False, help="Install shell completion.",
)  # fmt: skip


def install(shell: str, script: str, home: Path) -> Path:
    """Write the script below `home`, make the shell's start file read it, and return the script's file."""
    file, start, line = {
        "bash": (".bash_completions/bakery.sh", ".bashrc", "source ~/.bash_completions/bakery.sh"),
        "zsh": (".zfunc/_bakery", ".zshrc", "fpath+=~/.zfunc; autoload -Uz compinit; compinit"),
        "fish": (".config/fish/completions/bakery.fish", "", ""),  # fish reads it without a start file
    }[shell]
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(script, encoding="utf-8")
    if start:
        # Comments in other encodings are common; only our line is looked for.
        before = (home / start).read_text("utf-8", "replace") if is_there(home / start) else ""
        if line not in before.splitlines():
            with (home / start).open("a", encoding="utf-8") as stream:
                stream.write(f"{'' if before.endswith(chr(10)) or not before else chr(10)}{line}\n")
    return home / file


def _known(shell: str) -> str:
    name = Path(os.environ.get("SHELL", "bash")).name if shell == _MINE else shell
    if name not in SHELLS:
        raise click.BadParameter(f"{name!r} is not one of {', '.join(map(repr, SHELLS))}")
    return name


def _script(command: click.Command, shell: str) -> str:
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    return made(command, {}, "bakery", _VARIABLE).source()
