"""`wattseal verify`: the five answers about proof bundles (docs/spec/proof.md §3, §4).

Imports `core` alone, so that it starts fast in the bare package.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from wattseal.cli.terminal import Terminal, clean, told
from wattseal.core.bundle import MAX_BUNDLE_BYTES, Bundle, parse_bundle
from wattseal.core.refusal import Refusal
from wattseal.core.trust import MAX_TRUST_BYTES, Trust, parse_trust
from wattseal.core.units import rfc3339
from wattseal.core.verdict import EXIT_NO, EXIT_UNKNOWN, EXIT_UNREADABLE, EXIT_YES, NAMES, Answer, Verdicts
from wattseal.core.verify import verify

MAX_HEADERS_BYTES: Final = 2**28
DEFAULT_REQUIRED: Final = ("authentic", "included")

_EPILOG: Final = """\
exit codes:
  0  every required answer is yes, and none of the five is no
  1  one of the five is no: do not rely on the file
  2  a file or the trust file cannot be read
  3  none is no, but a required one is unknown
  With several files: 1 if any has 1, else 2 if any has 2, else 3 if any has 3.

examples:
  wattseal verify day.wattseal.json --trust trust.toml
  wattseal verify *.wattseal.json --trust trust.toml --require authentic,included,complete,anchored
  wattseal verify day.wattseal.json --trust trust.toml --json | jq .verdicts.included.answer

Get trust.toml from somebody you trust, by another road than the bundles. Without it nobody is trusted:
authentic and included are then unknown.
"""

_SIMULATED_GLYPH: Final = ("≈", "magenta")
_CAUTION_GLYPH: Final = ("!", "yellow")
_GLYPHS: Final = {"yes": ("✔", "green"), "no": ("✘", "red"), "unknown": ("?", "yellow")}
_WORD_WIDTH: Final = len("unknown (simulated) ")
_HEAD_WIDTH: Final = 2 + 2 + 11 + _WORD_WIDTH
_FACT_HEAD: Final = " " * 4 + "- "
MAX_FACTS: Final = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one file: the verdicts, or why it cannot be read.

    `rehearsal`: a yes of it rests on simulated evidence.
    """

    file: str
    code: int
    bundle: Bundle | None = None
    verdicts: Verdicts | None = None
    rehearsal: bool = False
    fault: str = ""


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parser().parse_args(arguments)
    return told("verify", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    try:
        required = _required(options.require)
        trust = Trust() if options.trust is None else read_trust(Path(options.trust))
    except (OSError, Refusal) as error:
        return _cannot_start(error, as_json=options.json)
    terminal = Terminal()
    findings = []
    for place, file in enumerate(options.files):
        finding = examine(Path(file), trust, required, allow_simulated=options.allow_simulated)
        findings.append(finding)
        if options.json:
            terminal.line(json.dumps(as_json(finding, allow_simulated=options.allow_simulated)))
            continue
        if place:
            terminal.line()
        show(finding, terminal, allow_simulated=options.allow_simulated)
    codes = {finding.code for finding in findings}
    return next((code for code in (EXIT_NO, EXIT_UNREADABLE, EXIT_UNKNOWN) if code in codes), EXIT_YES)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wattseal verify",
        description="Check proof bundles offline. Five separate answers, none of which trusts the server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a proof bundle, *.wattseal.json")
    parser.add_argument("--trust", metavar="FILE", help="whom you trust: a trust.toml that came by another road")
    parser.add_argument(
        "--require",
        metavar="A,B",
        default=",".join(DEFAULT_REQUIRED),
        help=f"answers that must be yes, of {', '.join(NAMES)} (default: %(default)s)",
    )
    parser.add_argument("--allow-simulated", action="store_true", help="let simulated evidence count as yes")
    parser.add_argument("--json", action="store_true", help="one JSON object per file and line")
    return parser


def _required(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    odd = [name for name in names if name not in NAMES]
    if odd or not names:
        raise Refusal("--require", f"must name some of {', '.join(NAMES)}, separated by commas")
    return names


def read_bounded(path: Path, most: int) -> bytes:
    """The bytes of a file of at most `most` bytes; Refusal for a longer one, before it is read whole."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except ValueError:
        raise Refusal("file", f"{str(path)!r} is no name that a file can have") from None
    if len(data) > most:
        raise Refusal(path.name, f"is longer than {most} bytes")
    return data


def read_trust(path: Path) -> Trust:
    """The trust file, with the headers files that it names relative to itself."""
    data = read_bounded(path, MAX_TRUST_BYTES)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Refusal("trust", "is not UTF-8") from None
    return parse_trust(text, lambda name: read_bounded(path.parent / name, MAX_HEADERS_BYTES))


def examine(path: Path, trust: Trust, required: tuple[str, ...], *, allow_simulated: bool) -> Finding:
    """Read one bundle and judge it."""
    try:
        bundle = parse_bundle(read_bounded(path, MAX_BUNDLE_BYTES))
    except OSError as error:
        return Finding(str(path), EXIT_UNREADABLE, fault=f"cannot be opened: {error.strerror or error}")
    except Refusal as refusal:
        return Finding(str(path), EXIT_UNREADABLE, fault=f"cannot be read as a proof bundle: {refusal}")
    verdicts = verify(bundle, trust)
    rehearsal = any(answer.simulated and answer.word == "yes" for _, answer in verdicts.items())
    if not allow_simulated:
        verdicts = verdicts.without_simulated()
    return Finding(str(path), verdicts.exit_code(required), bundle, verdicts, rehearsal)


def banner(verdicts: Verdicts, *, rehearsal: bool, allow_simulated: bool) -> str:
    """The one line above the answers."""
    words = [answer.word for _, answer in verdicts.items()]
    unknown = words.count("unknown")
    if "no" in words:
        return "Do not rely on this file"
    untold = f"; {unknown} of the five answers cannot be told here" if unknown else ""
    if any(answer.caution for _, answer in verdicts.items()):
        untold += "; read what stands after “but”"
    if unknown == len(words) and not rehearsal:
        return "Nothing can be told here: see what each answer lacks"
    if rehearsal and not allow_simulated:
        return f"Nothing wrong found{untold} (a rehearsal counts only with --allow-simulated)"
    if rehearsal:
        return f"A rehearsal, and it adds up{untold}"
    return f"Nothing wrong found{untold}" if untold else "All five answers are yes"


def show(finding: Finding, terminal: Terminal, *, allow_simulated: bool) -> None:
    """Write one file's answers for people."""
    terminal.line(terminal.paint(clean(finding.file), "bold"))
    bundle, verdicts = finding.bundle, finding.verdicts
    if bundle is None or verdicts is None:
        terminal.line(terminal.paint(f"This file {clean(finding.fault)}", "red"))
        return
    span = f"{rfc3339(bundle.from_s)} to {rfc3339(bundle.to_s)}"
    terminal.line(f"{bundle.path}, {span}, {len(bundle.records)} records")
    colour = {EXIT_YES: "green", EXIT_NO: "red"}.get(finding.code, "yellow")
    summary = banner(verdicts, rehearsal=finding.rehearsal, allow_simulated=allow_simulated)
    terminal.line(terminal.paint(summary, "bold", colour))
    for name, answer in verdicts.items():
        glyph, paint = _GLYPHS[answer.word]
        if answer.word == "yes" and (answer.simulated or answer.caution):
            glyph, paint = _CAUTION_GLYPH if answer.caution else _SIMULATED_GLYPH
        head = f"  {terminal.paint(glyph, paint)} {name:<11}{terminal.paint(f'{_word(answer):<{_WORD_WIDTH}}', paint)}"
        terminal.folded(head, _HEAD_WIDTH, clean(answer.reason))
        # A fact that the reason tells already is not told twice.
        facts = [fact for fact in answer.facts if fact not in answer.reason]
        for fact in facts[:MAX_FACTS]:
            terminal.folded(terminal.paint(_FACT_HEAD, "dim"), len(_FACT_HEAD), clean(fact))
        if len(facts) > MAX_FACTS:
            terminal.line(f"{' ' * len(_FACT_HEAD)}… and {len(facts) - MAX_FACTS} more (--json shows all)")


def _word(answer: Answer) -> str:
    return f"{answer.word} (simulated)" if answer.simulated else answer.word


def as_json(finding: Finding, *, allow_simulated: bool) -> dict[str, Any]:
    """One file's answers for scripts."""
    bundle, verdicts = finding.bundle, finding.verdicts
    if bundle is None or verdicts is None:
        return {"file": finding.file, "exit": finding.code, "fault": finding.fault}
    return {
        "file": finding.file,
        "exit": finding.code,
        "meter": bundle.path,
        "from": rfc3339(bundle.from_s),
        "to": rfc3339(bundle.to_s),
        "records": len(bundle.records),
        "banner": banner(verdicts, rehearsal=finding.rehearsal, allow_simulated=allow_simulated),
        "verdicts": {
            name: {
                "answer": answer.word,
                "simulated": answer.simulated,
                "caution": answer.caution,
                "reason": answer.reason,
                "facts": list(answer.facts),
            }
            for name, answer in verdicts.items()
        },
    }


def _cannot_start(error: OSError | Refusal, *, as_json: bool) -> int:
    reason = str(error)
    if as_json:
        print(json.dumps({"exit": EXIT_UNREADABLE, "fault": reason}))
    else:
        print(f"wattseal verify: {clean(reason)}", file=sys.stderr)
    return EXIT_UNREADABLE
