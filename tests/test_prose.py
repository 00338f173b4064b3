"""Prose reads as plain English: none of these phrases is in src, in the documents or in the help of a command.

Each phrase was frequent here and reads as translated. A file's prose is its comments, docstrings and strings, without
inline code. If a phrase is right in one place, add that place to ALLOWED with the reason.
"""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twofold import cli

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for kind in ("py", "sql") for path in (ROOT / "src").rglob(f"*.{kind}"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FILES = [path.relative_to(ROOT).as_posix() for path in (*SOURCES, *PAGES)]

# Places whose prose is being rewritten, with everything below them: their faults skip the test instead of failing it.
# Take a line out when it is done; the list ends empty.
NOT_YET: tuple[str, ...] = (
    "docs/simulation.md",  # quotes what the simulator prints
)

# A phrase, what to write instead, and a sentence that contains the phrase.
PHRASES = [
    (r"(?<!lost )(?<!kept )(?<!their )(?<!expired )\banswers\b(?!\.py| import)", "returns", "`key` answers one key"),
    (r"\b(is|are|be|been) answered\b", "gets a reply; returns the original result", "it is answered, not repeated"),
    (r"\b(is|are|was|were|be|been) told\b(?! apart)", "gets", "the other is told the actual version"),
    (r"\bby lot\b|\blots? (drawn|of a key)\b|\b(draws?|smallest) lots?\b", "at random; jitter", "rows by lot"),
    (r"\bof that time\b|\bof its time\b", "original", "the answer of that time"),
    (r"\bin earnest\b", "for real", "in earnest: a request"),
    (r"\bnot concerned\b", "not affected", "old processes are not concerned"),
    (r"\bcount that \w+ in\b", "allow for", "Count that memory in"),
    (r"\bno pure fold\b|\bthat it is none\b", "not a pure fold", "it is no pure fold"),
    (r"\bwhoever\b", "a name for it: the caller, a reader, another worker", "for whoever restarts it"),
    (
        r"\b(for|to|of|from|by|wakes) who (is|are|has|have|does|need|only|reads?|waits?|asks?|sends?|stands?)\b"
        r"|(?<=[.:;] )Who (is|has|does|only|reads|waits|sends|cannot) [^?]*?\.",
        "a noun: a reader that, a client that",
        "for who need not know the answer",
    ),
    (r"\b(he|his|him|himself|she|her|herself)\b", "it, its, they, their", "a user reads his own write"),
    (r"\b(some|every|any)body\b", "another worker, the operator, everyone", "until somebody else is to have it"),
    (r"\bnobody's\b", "no, none of", "takes nobody's place"),
    (r"\bwhat (becomes?|became) of\b", "what happens to; the result of", "what became of this one"),
    (
        r"\b(names?|tells?|says?|has|without|with) (the|a) way out\b",
        "says how to fix it",
        "the message names the way out",
    ),
    (r"\bsees? to (it|that)\b", "ensures, handles", "the ids see to it that"),
    (r"\bborne\b", "absorb, tolerate", "where bursts are to be borne"),
    (r"\bby chance\b", "at random, random", "calls made up by chance"),
    (r"\bis to (have|get) it\b", "gets it", "until another is to have it"),
    (r"(?<![a-z] )Only where\b", "plain order: …, unless …", "Only where the key has several fields"),
    (r"(?<![a-z] )So many\b", "a count", "So many rows"),
    (r"\bwhat the feed makes of\b", "match the feed", "rows are what the feed makes of them"),
    (r"\bcannot work as (it is|they are)\b", "is misconfigured", "the App cannot work as it is"),
    (r"\bthat (comes|came|come) again\b", "repeated, sent again", "a command that comes again"),
    (r"\bhand(ed|s)? in\b", "pass, argument", "what was handed in is refused"),
    (r"\b(gave|gives?|given) out\b", "return, assign", "a cursor that `find` did not give out"),
    (r"\bas ever\b", "as before", "they go on as ever"),
    (r"\bone's own\b", "your own", "a machine of one's own"),
    (r"\b(what|for|from|keeps? \w+ from) the outside\b", "clients", "what the outside may do"),
    (r"\b(has|have) (not )?come as far\b", "has caught up", "when it has come as far"),
    (r"\bof then\b", "the first, the original", "the answer of then"),
    (r"\bfor so long\b", "for this long", "repeat it for so long"),
    (r"\bthat is none\b", "is not one", "a number that is none"),
]

# A file, words in it, and why they are right there.
ALLOWED = [("src/twofold/web/problems.py", "twofold.answers-head", "a name in the ASGI scope, not prose")]


def plain(text: str) -> str:
    """The text on one line, without inline code."""
    return " ".join(re.sub(r"`[^`]*`", "`", text).split())


def python(source: str) -> Iterator[str]:
    """Comments and strings; adjacent ones are joined, as phrases wrap at the end of a line."""
    kept: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        match tokenize.tok_name[token.type]:
            case "COMMENT":
                kept.append(token.string.lstrip("# "))
            case "STRING":
                inner = re.sub(r"^\w*(\"\"\"|'''|\"|')|(\"\"\"|'''|\"|')$", "", token.string)
                kept.append(re.sub(r"\{[^{}]*\}", "{}", inner))
            case "FSTRING_MIDDLE":
                kept.append(token.string)
            case "NL" | "NEWLINE" | "INDENT" | "DEDENT" | "FSTRING_START" | "FSTRING_END":
                pass
            case _:
                yield " ".join(kept)
                kept.clear()
    yield " ".join(kept)


def markdown(text: str) -> Iterator[str]:
    """Paragraphs and the output of commands; of programs only comments and strings."""
    for part in re.split(r"^(```[^\n]*\n.*?^```)$", text, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```python"):
            yield from python(part.partition("\n")[2].removesuffix("```"))
        elif not part.startswith(("```diff", "```sql", "```sh")):
            yield from re.split(r"\n\n|\n(?=[-|\d])", part)


def prose(path: Path) -> list[str]:
    text = path.read_text("utf-8")
    match path.suffix:
        case ".py":
            parts = python(text)
        case ".md":
            parts = markdown(text)
        case _:
            parts = iter([" ".join(re.findall(r"^\s*-- ?(.*)$", text, re.MULTILINE))])
    return [one for one in map(plain, parts) if one]


def faults(parts: list[str], allowed: list[str]) -> Iterator[str]:
    for part in parts:
        judged = re.sub("|".join(map(re.escape, allowed)) or r"(?!)", "", part)
        for phrase, better, _ in PHRASES:
            flags = re.NOFLAG if phrase != phrase.lower() else re.IGNORECASE  # a capital: it begins a sentence
            for hit in re.finditer(phrase, judged, flags):
                yield f"{hit[0]!r} in {judged[max(0, hit.start() - 50) : hit.end() + 30]!r}: {better}"


def judge(place: str, parts: list[str], allowed: list[str]) -> None:
    found = list(faults(parts, allowed))
    if found and place.startswith(NOT_YET):
        pytest.skip(f"{place} is being rewritten: {len(found)} phrases to go")
    if found:
        pytest.fail("\n".join([f"{place}:", *found]), pytrace=False)


@pytest.mark.parametrize("file", FILES)
def test_a_file_reads_as_plain_english(file: str) -> None:
    allowed = [words for place, words, _ in ALLOWED if place == file]
    judge(file, prose(ROOT / file), allowed)


COMMANDS = [command.callback.__name__ for command in cli.commands.registered_commands if command.callback]


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_the_help_of_a_command_reads_as_plain_english(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli.commands, [*arguments, "--help"], env={"COLUMNS": "1000", "TERMINAL_WIDTH": "1000"})
    assert done.exit_code == 0, done.output
    judge("src/twofold/cli/", [plain(re.sub(r"[│╭╮╰╯─]", " ", done.output))], [])


@pytest.mark.parametrize(("phrase", "better", "example"), PHRASES, ids=[example for _, _, example in PHRASES])
def test_a_phrase_is_found(phrase: str, better: str, example: str) -> None:
    assert [fault for fault in faults([plain(example)], []) if fault.endswith(f": {better}")]


def test_every_exception_is_needed() -> None:
    for file, words, reason in ALLOWED:
        assert reason
        assert any(faults([part for part in prose(ROOT / file) if words in part], [])), (
            f"{file} no longer says {words!r}"
        )
