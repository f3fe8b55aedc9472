"""``unrolled completion SHELL``: the script that makes a shell complete ``unrolled``.

The scripts hand what is typed to this command and show what it answers. argcomplete and shtab,
which read an argparse parser, know nothing of configuration keys, and argparse is done with the
overrides at the first flag that follows one, where a person may well go on with another.
"""

import argparse
import re
import shlex
from typing import Any

SHELLS = ("bash", "zsh", "fish")

BASH = """\
# In ~/.bashrc: source <(unrolled completion bash)
_unrolled() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("$1" completion bash -- "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=./] ]]; then
        compopt -o nospace
    fi
}
complete -o nosort -F _unrolled unrolled
"""
ZSH = """\
#compdef unrolled
# In ~/.zshrc, after compinit: source <(unrolled completion zsh)
_unrolled() {
    local -a found
    found=("${(@f)$("${words[1]}" completion zsh -- "${(@Q)words[2,CURRENT-1]}" \
"${(Q)PREFIX}" 2>/dev/null)}")
    # What ends with = . or / goes on without a space.
    compadd -S '' -- ${(M)found:#*[=./]}
    compadd -- ${found:#(|*[=./])}
}
if [ "$funcstack[1]" = "_unrolled" ]; then
    _unrolled "$@"
else
    compdef _unrolled unrolled
fi
"""
FISH = """\
# In ~/.config/fish/completions/unrolled.fish, or: unrolled completion fish | source
function __unrolled_complete
    set -l typed (commandline -opc)
    set -l last (commandline -ct)
    $typed[1] completion fish -- $typed[2..-1] "$last" 2>/dev/null
end
complete -c unrolled -f -a '(__unrolled_complete)'
"""
SCRIPTS = dict(zip(SHELLS, (BASH, ZSH, FISH), strict=True))

HELP = """\
to have it in every new shell:
  echo 'source <(unrolled completion bash)' >> ~/.bashrc
  echo 'source <(unrolled completion zsh)' >> ~/.zshrc          (after compinit)
  unrolled completion fish > ~/.config/fish/completions/unrolled.fish
"""


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "completion",
        allow_abbrev=False,
        help=summary,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], metavar="SHELL")
    # What is typed so far, from the scripts.
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the script, or what the words that it gives may become, one a line."""
    if not options.words:
        print(SCRIPTS[options.shell], end="")
        return 0
    from unrolled.commands.completing import complete

    if options.shell == "bash":
        line, breaks = [*options.words, ""][:2]
        words = split(line)[1:]
        answers = [replaced(one, words[-1], breaks) for one in complete(options.commands, words)]
    else:
        answers = complete(options.commands, options.words)
    print(*answers, sep="\n", end="\n" if answers else "")
    return 0


def split(line: str) -> list[str]:
    """The words of a command line, the last of which is still being typed and may be empty."""
    for closing in ("", "'", '"', "\\"):
        lexer = shlex.shlex(line + closing, posix=True, punctuation_chars=False)
        lexer.whitespace_split, lexer.commenters = True, ""
        try:
            words = [*lexer]
        except ValueError:
            # A quote that is not closed yet.
            continue
        ended = line.endswith((" ", "\t")) and not closing
        return [*words, ""] if ended or len(words) < 2 else words
    return [line, ""]


def replaced(candidate: str, word: str, breaks: str) -> str:
    """What bash puts in place of the end of a word: it takes ``=`` for the end of another."""
    start = 1 + max((word.rfind(one) for one in breaks if one in "=:"), default=-1)
    return re.sub(r"([\s'\"\\$&|;<>()*?!`#\[\]{}])", r"\\\1", candidate[start:])
