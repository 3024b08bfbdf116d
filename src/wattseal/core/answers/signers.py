"""The operators and gateways of the log's registry, by name and role (docs/spec/log.md §2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from wattseal.core.answers.unknown import Unknown
from wattseal.core.note import Note, open_note
from wattseal.core.note_key import Verifier
from wattseal.core.refusal import Refusal
from wattseal.core.registry import Signer, parse_signer


class Signers:
    """Who may sign notes; each registration is parsed once.

    `registry` holds the bodies that *included* has shown to be the log's, or is None where it could not.
    """

    def __init__(self, registry: Mapping[str, bytes] | None) -> None:
        self._registry = registry

    def open(self, data: bytes, name: str, role: str, text: str) -> Signer:
        """The registered signer of that name whose signature the note carries; Refusal if it says something else."""
        if self._registry is None:
            raise Unknown(f"the registry that names the {role}'s key is not shown to be the log's")
        keys = self._keys.get((name, role))
        if keys is None:
            raise Refusal("registry", f"names no {role} {name}")
        # A name may have had many keys; only those that the note names are looked at.
        named = [keys[line.key_id] for line in Note.parse(data).signatures if line.name == name and line.key_id in keys]
        signers = dict(named)
        opened = open_note(data, signers)
        if opened.text.decode() != text:
            raise Refusal("note", f"the note of the {role} is about something else")
        return signers[opened.signatures[0].verifier]

    @cached_property
    def _keys(self) -> Mapping[tuple[str, str], Mapping[bytes, tuple[Verifier, Signer]]]:
        found: dict[tuple[str, str], dict[bytes, tuple[Verifier, Signer]]] = {}
        for key, body in (self._registry or {}).items():
            if key.startswith("signer/"):
                signer = parse_signer(body)
                verifier = Verifier.from_vkey(signer.vkey)
                found.setdefault((signer.name, signer.role), {})[verifier.key_id] = verifier, signer
        return found
