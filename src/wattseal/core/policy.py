"""Trust policies (C2SP tlog-policy): which logs and witnesses are trusted, and which cosignatures are enough.

Names of witnesses and groups are octets without a meaning outside the file; they are held as text that keeps every
octet apart (UTF-8 with surrogate escapes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Self

from wattseal.core.checkpoint import OpenedCheckpoint, open_checkpoint_of
from wattseal.core.note_key import SignatureType, Verifier
from wattseal.core.refusal import Refusal

MAX_POLICY_BYTES: Final = 2**18
MAX_LINES_OF_A_KIND: Final = 256

_NONE: Final = "none"
_FORBIDDEN: Final = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")
_SPACE: Final = re.compile(r"[ \t]+")
_THRESHOLD: Final = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Log:
    """A trusted log. The verifier's name is the origin of its checkpoints. `url` has no meaning here."""

    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """A trusted witness. `name` is what the policy calls it, which need not be its key's name."""

    name: str
    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """A group has witnessed a checkpoint if at least `threshold` of its members, witnesses or groups, have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as read by `parse`. `quorum` names the witness or group that must have witnessed; None asks for nobody.

    `groups` stand in the order of the file, so that each comes after its members.
    """

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str | None

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a policy file. Refuses what the specification does not allow, naming the line."""
        if len(data) > MAX_POLICY_BYTES:
            raise Refusal("policy", f"larger than {MAX_POLICY_BYTES} bytes")
        if _FORBIDDEN.search(data):
            raise Refusal("policy", "contains a control character other than tab and newline")
        draft = _Draft()
        for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
            words = _SPACE.split(line.strip(" \t"))
            if words == [""] or words[0].startswith("#"):
                continue
            try:
                draft.read(words)
            except Refusal as refusal:
                raise Refusal(f"policy.line[{number}]", str(refusal)) from None
        if not draft.quorums:
            raise Refusal("policy.quorum", "no quorum line; `quorum none` asks for no cosignature")
        quorum = draft.quorums[0]
        return cls(tuple(draft.logs), tuple(draft.witnesses), tuple(draft.groups), None if quorum == _NONE else quorum)

    def witnessed(self, cosigners: Iterable[Verifier]) -> frozenset[str]:
        """The names of the policy's witnesses and groups that have witnessed what these keys cosigned."""
        keys = frozenset(cosigners)
        names = {witness.name for witness in self.witnesses if witness.verifier in keys}
        for group in self.groups:
            if len(names.intersection(group.members)) >= group.threshold:
                names.add(group.name)
        return frozenset(names)

    def satisfied(self, cosigners: Iterable[Verifier]) -> bool:
        """Whether cosignatures of these keys, each checked before, are enough."""
        return self.quorum is None or self.quorum in self.witnessed(cosigners)

    def open(self, data: bytes) -> OpenedCheckpoint:
        """Check a signed checkpoint under this policy.

        Refuses it unless one of the logs signed it under its own origin and enough witnesses cosigned it, and if any
        signature of a log or witness of the policy is bad.
        """
        opened = open_checkpoint_of(
            data, [log.verifier for log in self.logs], [witness.verifier for witness in self.witnesses]
        )
        if not self.satisfied(cosignature.verifier for cosignature in opened.cosignatures):
            raise Refusal("policy.quorum", f"the cosignatures do not satisfy {self.quorum!r}")
        return opened


class _Draft:
    """What the lines read so far have said."""

    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.witnesses: list[Witness] = []
        self.groups: list[Group] = []
        self.quorums: list[str] = []
        self._keys: set[tuple[SignatureType, bytes]] = set()
        self._names: set[str] = set()
        self._members: set[str] = set()

    def read(self, words: list[str]) -> None:
        """Take one line in. Names in it must have been defined before (tlog-policy, "Structure")."""
        readers: dict[str, Callable[[list[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum,
        }
        reader = readers.get(words[0])
        if reader is None:
            raise Refusal("keyword", "a line begins with log, witness, group or quorum")
        reader(words[1:])
        if max(len(self.logs), len(self.witnesses), len(self.groups)) > MAX_LINES_OF_A_KIND:
            raise Refusal(words[0], f"more than {MAX_LINES_OF_A_KIND} of them")

    def _log(self, words: list[str]) -> None:
        if not 1 <= len(words) <= 2:
            raise Refusal("log", "written `log <vkey> [<url>]`")
        self.logs.append(Log(self._key(words[0], SignatureType.ED25519), *words[1:]))

    def _witness(self, words: list[str]) -> None:
        if not 2 <= len(words) <= 3:
            raise Refusal("witness", "written `witness <name> <vkey> [<url>]`")
        verifier = self._key(words[1], SignatureType.COSIGNATURE_V1)
        self.witnesses.append(Witness(self._define(words[0]), verifier, *words[2:]))

    def _group(self, words: list[str]) -> None:
        if len(words) < 3:
            raise Refusal("group", "written `group <name> <all, any or a number> <member>...`")
        name, rule, *members = words
        for member in members:
            if member not in self._names:
                raise Refusal("group", f"{member!r} is not defined on a line before")
            if member in self._members:
                # Else one witness could count twice towards the quorum.
                raise Refusal("group", f"{member!r} is already a member of a group")
            self._members.add(member)
        if rule in ("all", "any"):
            threshold = len(members) if rule == "all" else 1
        elif _THRESHOLD.fullmatch(rule) and int(rule) <= len(members):
            threshold = int(rule)
        else:
            raise Refusal("group", f"the rule is all, any or a number from 1 to {len(members)}")
        self.groups.append(Group(self._define(name), threshold, tuple(members)))

    def _quorum(self, words: list[str]) -> None:
        if len(words) != 1:
            raise Refusal("quorum", "written `quorum <name>`")
        if self.quorums:
            raise Refusal("quorum", "there is exactly one quorum line")
        if words[0] != _NONE and words[0] not in self._names:
            raise Refusal("quorum", f"{words[0]!r} is not defined on a line before")
        self.quorums.append(words[0])

    def _define(self, name: str) -> str:
        if name == _NONE or name in self._names:
            raise Refusal("name", f"{name!r} is already defined")
        self._names.add(name)
        return name

    def _key(self, vkey: str, kind: SignatureType) -> Verifier:
        verifier = Verifier.from_vkey(vkey)
        if verifier.kind is not kind:
            raise Refusal("vkey", f"signature type 0x{verifier.kind:02x}, but 0x{kind:02x} is needed here")
        if (kind, verifier.public_key) in self._keys:
            raise Refusal("vkey", "the same public key stands on a line before")
        self._keys.add((kind, verifier.public_key))
        return verifier
