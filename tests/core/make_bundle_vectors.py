"""Makes vectors/bundle.json; `python -m tests.core.make_vectors` writes it.

What each case must come to is written here by hand, and the verifier has to agree before anything is written.
"""

from __future__ import annotations

import copy
from typing import Any, Final

from tests.core.bundle_samples import BUNDLES, TRUST
from tests.core.refused import refused
from tests.core.world import to_file
from wattseal.core.bundle import parse_bundle
from wattseal.core.refusal import Refusal
from wattseal.core.trust import Trust, parse_trust
from wattseal.core.verdict import NAMES, Verdicts
from wattseal.core.verify import verify

Patch = dict[str, Any]
"""{"path": [...], "value": ...} puts a value there; {"path": [...], "remove": true} takes it away."""

DEFAULT: Final = ("authentic", "included")


def patched(bundle: dict[str, Any], patches: list[Patch]) -> dict[str, Any]:
    """The bundle with its patches, in their order."""
    changed = copy.deepcopy(bundle)
    for patch in patches:
        *steps, last = patch["path"]
        holder: Any = changed
        for step in steps:
            holder = holder[step]
        if patch.get("remove"):
            del holder[last]
        elif isinstance(holder, list) and last == len(holder):
            holder.append(copy.deepcopy(patch["value"]))
        else:
            holder[last] = copy.deepcopy(patch["value"])
    return changed


def no_file(name: str) -> bytes:
    raise Refusal("chain.headers_file", f"{name} is not there")


def trust_of(text: str | None) -> Trust:
    return Trust() if text is None else parse_trust(text, no_file)


def put(value: object, *path: str | int) -> Patch:
    return {"path": list(path), "value": value}


def take(*path: str | int) -> Patch:
    return {"path": list(path), "remove": True}


YYYY: Final = "yes yes yes yes unknown"
YYY: Final = "yes yes yes unknown unknown"
NONE: Final = "unknown unknown unknown unknown unknown"
KEY: Final = "yes unknown unknown unknown unknown"
NO_KEY: Final = "no unknown unknown unknown unknown"
NO_LOG: Final = "unknown no unknown unknown unknown"
NO_AUTHENTIC: Final = "no yes yes unknown unknown"
NO_REPORT: Final = "no yes unknown unknown unknown"
NO_COMPLETE: Final = "yes yes no unknown unknown"
BOTH: Final = "no yes no unknown unknown"
YY: Final = "yes yes unknown unknown unknown"

WHOLE: Final[tuple[tuple[str, str, str | None, str, str], ...]] = (
    # name, bundle, trust file, the five words, which answers rest on something simulated
    ("as it is", "device", "device", YYYY, "anchored"),
    ("without a trust file", "device", None, NONE, "anchored"),
    ("a trust file that names nobody", "device", "nobody", NONE, "anchored"),
    ("a trust file that names another log", "device", "another log", NONE, "anchored"),
    ("another key for the log", "device", "another key for the log", NO_LOG, "anchored"),
    ("the log alone", "device", "log alone", YYY, "anchored"),
    ("a policy without witnesses", "device", "policy without witnesses", YYY, "anchored"),
    ("a policy with a witness", "device", "policy with a witness", NO_LOG, "anchored"),
    ("a simulated log", "device", "simulated log", YYY, "included complete anchored"),
    ("the device key alone", "device", "device key alone", KEY, "anchored"),
    ("a device key, simulated", "device", "device key, simulated", KEY, "authentic anchored"),
    ("a device key of another meter", "device", "device key of another meter", NO_KEY, "anchored"),
    ("a device key too early", "device", "device key that was not valid yet", NO_KEY, "anchored"),
    ("a key that the registry calls simulated", "simulated key", "log alone", YYY, "authentic complete"),
    ("a log that grew", "grown", "saw less", YYY, ""),
    ("a log that grew beside what was seen", "grown", "saw a fork", "yes no unknown unknown unknown", ""),
    ("a consistency proof that nobody asked for", "grown", "log alone", "yes no unknown unknown unknown", ""),
    ("nothing that leads to what was seen", "overstated energy", "saw less", "no unknown yes unknown unknown", ""),
    ("imported history", "import", "import", YYYY, "anchored"),
    ("reported intervals", "reported", "reported", "yes yes unknown yes unknown", "anchored"),
    ("reported intervals without a trust file", "reported", None, NONE, "anchored"),
    ("overstated energy", "overstated energy", "log alone", NO_AUTHENTIC, ""),
    ("one interval twice", "one interval twice", "log alone", "no yes no unknown unknown", ""),
    ("another price than the tariff's", "another price", "log alone", "yes yes yes unknown no", ""),
    ("a key after its end", "key after its end", "log alone", NO_AUTHENTIC, ""),
    ("a key of another meter", "key of another meter", "log alone", NO_AUTHENTIC, ""),
    ("a key under another name", "key under another name", "log alone", NO_LOG, ""),
    ("an import of another meter", "import of another meter", "log alone", NO_AUTHENTIC, ""),
    ("a declared swap", "declared swap", "log alone", YYY, ""),
    ("a swap of another meter", "swap of another meter", "log alone", NO_AUTHENTIC, ""),
    ("a swap at another place", "swap at another place", "log alone", NO_AUTHENTIC, ""),
    ("a swap below the last reading", "swap below the last reading", "log alone", NO_AUTHENTIC, ""),
    ("a swap above the next reading", "swap above the next reading", "log alone", NO_AUTHENTIC, ""),
    ("a swap with more energy", "swap with more energy", "log alone", NO_AUTHENTIC, ""),
    ("a swap signed by a stranger", "swap signed by a stranger", "log alone", NO_AUTHENTIC, ""),
    ("an import signed by a stranger", "import signed by a stranger", "log alone", NO_AUTHENTIC, ""),
    ("a reported interval that was changed", "reported and changed", "log alone", NO_REPORT, ""),
    ("a reported interval at another price", "reported at another price", "log alone", NO_REPORT, ""),
    ("a record that is in the log and not in the file", "hidden record", "log alone", NO_COMPLETE, ""),
    ("a file that ends before its period", "missing tail", "log alone", NO_COMPLETE, ""),
    ("a gap called ok", "gap called ok", "log alone", "no yes no unknown unknown", ""),
    ("a gateway's reading called a device's", "gateway called device", "log alone", NO_AUTHENTIC, ""),
    ("a device key whose site is not told", "device", "device key of no site", NONE, "anchored"),
    ("a key after its end in an unknown log", "key after its end", "device key alone", NO_KEY, ""),
    ("a simulated key in an unknown log", "simulated key", "device key alone", KEY, "authentic"),
    ("an import that takes readings for its rows", "import with the slots of readings", "log alone", BOTH, ""),
    ("an import above the registers around it", "import above the registers", "log alone", NO_COMPLETE, ""),
    ("an import below the registers around it", "import below the registers", "log alone", NO_COMPLETE, ""),
    ("an import as the registers around it say", "import as the registers say", "log alone", YYY, ""),
    ("an import that no reading follows", "import after readings", "log alone", YY, ""),
    ("one import after another", "one import after another", "log alone", YY, ""),
    ("tampering that the device reported", "tampering", "log alone", YYY, ""),
    ("a report that names another meter", "reported of another meter", "log alone", YY, ""),
    ("another price in all records", "another price for all", "log alone", "yes yes yes unknown no", ""),
    ("the same without the tariff", "tariff left out", "log alone", "unknown yes yes unknown unknown", ""),
    ("a log that calls itself a rehearsal", "rehearsal log", "log alone", YYY, "included complete"),
)

DEVICE: Final = BUNDLES["device"]
FIRST: Final = DEVICE["records"][0]
SECOND: Final = DEVICE["records"][1]
MORE: Final = SECOND["body"].replace('"energy_kwh":0.1', '"energy_kwh":0.2')
SHORTER: Final = DEVICE["checkpoint"].replace("\n9\n", "\n8\n")
OTHER_ORIGIN: Final = DEVICE["batch"]["body"].replace("wattseal/test", "wattseal/toast")
OTHER_NOTE: Final = BUNDLES["import"]["statements"][0]["note"].replace("import-1", "import-2")


def flipped(text: str, at: int = 0) -> str:
    """The text with another hex digit there."""
    return f"{text[:at]}{'1' if text[at] == '0' else '0'}{text[at + 1 :]}"


CHANGED: Final[tuple[tuple[str, str, list[Patch], str], ...]] = (
    # name, bundle (with its own trust file), patches, the five words
    ("no anchor", "device", [put([], "anchors")], YYY),
    ("a body", "device", [put(MORE, "records", 1, "body")], "no no no yes no"),
    ("a salt", "device", [put(flipped(FIRST["salts"][0]), "records", 0, "salts", 0)], "yes no unknown yes unknown"),
    ("a slot", "device", [put(flipped(FIRST["slots"][0]), "records", 0, "slots", 0)], "no no unknown yes unknown"),
    ("slots exchanged", "device", [put(FIRST["slots"][::-1], "records", 0, "slots")], "no no no yes unknown"),
    ("an index", "device", [put(FIRST["index"] + 1, "records", 0, "index")], "yes no unknown yes unknown"),
    ("a hash", "device", [put(flipped(DEVICE["hashes"][0], 63), "hashes", 0)], "unknown no unknown yes unknown"),
    ("the checkpoint's size", "device", [put(SHORTER, "checkpoint")], "unknown no unknown no unknown"),
    ("a checkpoint that is no note", "device", [put("checkpoint", "checkpoint")], "unknown no unknown no unknown"),
    ("the meter", "device", [put("MTR-002", "meter", "meter_id")], "no yes unknown yes unknown"),
    ("a longer period", "device", [put("2025-12-01T00:20:00Z", "period", "to")], "yes yes no yes unknown"),
    ("a period off the grid", "device", [put("2025-12-01T00:00:01Z", "period", "from")], "yes yes no yes unknown"),
    ("a shorter period", "device", [put("2025-12-01T00:05:00Z", "period", "from")], "yes yes no yes unknown"),
    ("records exchanged", "device", [put(SECOND, "records", 0), put(FIRST, "records", 1)], "yes yes no yes unknown"),
    ("another reading", "device", [put(DEVICE["readings"][0], "readings", 1)], "no yes yes yes unknown"),
    ("a reading too few", "device", [take("readings", 3)], "no yes yes yes unknown"),
    ("a reading twice", "device", [put(DEVICE["readings"][0], "readings", 4)], "no yes yes yes unknown"),
    ("bytes that are no reading", "device", [put("AAAA", "readings", 4)], "no yes yes yes unknown"),
    ("another name", "device", [put(f"key/{'00' * 16}", "registry", 0, "name")], "unknown no unknown yes unknown"),
    (
        "a registration twice",
        "device",
        [put(DEVICE["registry"][0], "registry", len(DEVICE["registry"]))],
        "unknown no unknown yes unknown",
    ),
    ("another place of the map", "device", [put(4, "registry", 0, "map_index")], "unknown no unknown yes unknown"),
    ("a batch of another log", "device", [put(OTHER_ORIGIN, "batch", "body")], "unknown no unknown yes unknown"),
    ("a batch with a salt", "device", [put("11" * 32, "batch", "salts", 0)], "unknown no unknown yes unknown"),
    (
        "an anchor's transaction",
        "device",
        [put(flipped(DEVICE["anchors"][0]["tx"], 100), "anchors", 0, "tx")],
        "yes yes yes no unknown",
    ),
    ("another import", "import", [put("00" * 32, "statements", 0, "entry", "slots", 1)], "no no unknown yes unknown"),
    ("the note of the import", "import", [put(OTHER_NOTE, "statements", 0, "note")], "no yes yes yes unknown"),
    ("the bytes of a report", "reported", [put("e30=", "reported", 0, "raw")], "no yes unknown yes unknown"),
    ("a report too few", "reported", [take("reported", 2)], "no yes unknown yes unknown"),
    (
        "a report twice",
        "reported",
        [put(BUNDLES["reported"]["reported"][0], "reported", 3)],
        "no yes unknown yes unknown",
    ),
)

EXITS: Final[tuple[tuple[str, str, str | None, str, bool, int], ...]] = (
    # name, bundle, trust file, what is required, --allow-simulated, exit code
    ("the default", "device", "device", "authentic included", False, 0),
    ("a rehearsal that is not allowed", "device", "device", "anchored", False, 3),
    ("a rehearsal that is allowed", "device", "device", "anchored", True, 0),
    ("all that can be answered", "device", "device", "authentic included complete anchored", True, 0),
    ("billed", "device", "device", "billed", True, 3),
    ("nothing is required", "device", None, "", False, 0),
    ("no trust file", "device", None, "authentic included", False, 3),
    ("a log that calls itself a rehearsal", "rehearsal log", "log alone", "included", False, 3),
    ("a price that is not the tariff's", "another price for all", "log alone", "authentic included", False, 1),
    ("the same without the tariff", "tariff left out", "log alone", "authentic included", False, 3),
    ("a simulated key that is not allowed", "simulated key", "log alone", "authentic", False, 3),
    ("a simulated key that is allowed", "simulated key", "log alone", "authentic", True, 0),
    ("a no that was not asked about", "hidden record", "log alone", "authentic", True, 1),
    ("reported intervals are never complete", "reported", "reported", "complete", True, 3),
)

UNREADABLE: Final[tuple[tuple[str, str, list[Patch], str], ...]] = (
    # name, bundle, patches, field
    ("another format", "device", [put("wattseal-bundle-2", "format")], "format"),
    ("an unknown member", "device", [put(1, "colour")], "colour"),
    ("no readings", "device", [take("readings")], "readings"),
    ("a bill", "device", [put({}, "bill")], "bill"),
    ("no records", "device", [put([], "records")], "records"),
    ("records as an object", "device", [put({}, "records")], "records"),
    ("a meter with a slash", "device", [put("a/b", "meter", "site_id")], "meter.site_id"),
    ("a meter with more", "device", [put(1, "meter", "colour")], "meter.colour"),
    ("a period without its end", "device", [take("period", "to")], "period.to"),
    ("a time without a zone", "device", [put("2025-12-01T00:00:00", "period", "from")], "period.from"),
    ("a checkpoint that is null", "device", [put(None, "checkpoint")], "checkpoint"),
    ("a hash in upper case", "device", [put("A" * 64, "hashes", 0)], "hashes.0"),
    ("a hash of 31 bytes", "device", [put("00" * 31, "hashes", 0)], "hashes.0"),
    ("a hash twice", "device", [put(DEVICE["hashes"][1], "hashes", 0)], "hashes"),
    ("a hash that belongs to no path", "device", [put("00" * 32, "hashes", len(DEVICE["hashes"]))], "hashes.19"),
    ("a path beyond the table", "device", [put([999], "records", 0, "path")], "records.0.path"),
    ("a path with a negative place", "device", [put([-1], "batch", "path")], "batch.path"),
    ("a path with a boolean", "device", [put([True], "batch", "path")], "batch.path"),
    ("a path of 64 hashes", "device", [put([0] * 64, "batch", "path")], "batch.path"),
    ("an index that is negative", "device", [put(-1, "records", 1, "index")], "records.1.index"),
    ("two salts", "device", [take("records", 2, "salts", 0)], "records.2.salts"),
    ("a slot as a number", "device", [put(0, "records", 2, "slots", 1)], "records.2.slots"),
    ("a body as an object", "device", [put({}, "records", 0, "body")], "records.0.body"),
    ("an entry with more", "device", [put(1, "registry", 1, "entry", "log_id")], "registry.1.entry.log_id"),
    ("a registration without its place", "device", [take("registry", 1, "map_index")], "registry.1.map_index"),
    ("a reading that is no base64", "device", [put("*", "readings", 0)], "readings.0"),
    ("a reading with other pad bits", "device", [put("AB==", "readings", 0)], "readings.0"),
    ("a reading without padding", "device", [put("AA", "readings", 0)], "readings.0"),
    ("a reading of 4099 bytes", "device", [put("A" * 5_468, "readings", 0)], "readings.0"),
    ("an anchor with more", "device", [put(1, "anchors", 0, "colour")], "anchors.0.evidence"),
    ("an anchor of an unknown chain", "device", [put("dogecoin", "anchors", 0, "chain")], "anchors.0.chain"),
    ("a consistency proof without a size", "grown", [take("consistency", "size")], "consistency.size"),
    ("a statement without its note", "import", [take("statements", 0, "note")], "statements.0.note"),
    ("a report without its bytes", "reported", [take("reported", 1, "raw")], "reported.1.raw"),
)
UNREADABLE_TEXTS: Final = (
    ("empty", "", "json"),
    ("an array", "[]", "document"),
    ("a member twice", '{"format":"wattseal-bundle-1","format":"wattseal-bundle-1"}', "format"),
    ("NaN", '{"format":NaN}', "json"),
    ("half of a surrogate pair", '{"format":"\\ud800"}', "json"),
)
VKEY: Final = TRUST["log alone"].split('vkey = "')[1].split('"')[0]
TWO_HASHES: Final = f"""\
version = 1
[[chain]]
name = "simulated"
simulated = true
blocks = [{{height = 1, hash = "{"11" * 32}"}}, {{height = 1, hash = "{"22" * 32}"}}]
"""
BAD_TRUST: Final = (
    # name, text, field
    ("empty", "", "version"),
    ("another version", "version = 2\n", "version"),
    ("no TOML", "version = \n", "trust"),
    ("a float", "version = 1.0\n", "trust"),
    ("an unknown member", "version = 1\ncolour = 1\n", "colour"),
    ("a log that is no table", "version = 1\nlog = 1\n", "log"),
    ("a log without its key", 'version = 1\n[[log]]\norigin = "a"\n', "log.vkey"),
    ("a key of another name", f'version = 1\n[[log]]\norigin = "a"\nvkey = "{VKEY}"\n', "log.origin"),
    ("a log with more", f"{TRUST['log alone']}colour = 1\n", "log.colour"),
    ("a log twice", TRUST["log alone"] + TRUST["log alone"].split("\n", 1)[1], "log.origin"),
    ("a device key off the curve", f'version = 1\n[[device_key]]\npublic_key = "{"00" * 64}"\n', "public_key"),
    ("a device key of 65 bytes", f'version = 1\n[[device_key]]\npublic_key = "{"04" * 65}"\n', "device_key.public_key"),
    (
        "a device key twice",
        TRUST["device key alone"] + TRUST["device key alone"].split("\n", 1)[1],
        "device_key.public_key",
    ),
    ("a local time", f"{TRUST['device key alone']}valid_from = 2025-12-01T00:00:00\n", "device_key.valid_from"),
    ("a provenance of nobody", f'{TRUST["device key alone"]}provenance = "friend"\n', "device_key.provenance"),
    ("a policy without a quorum", 'version = 1\n[policy]\ntext = ""\n', "policy.quorum"),
    ("a chain without a name", "version = 1\n[[chain]]\nsimulated = true\n", "chain.name"),
    ("a block without its hash", 'version = 1\n[[chain]]\nname = "a"\nblocks = [{height = 1}]\n', "chain.blocks.hash"),
    ("a height without headers", 'version = 1\n[[chain]]\nname = "a"\nfirst_height = 1\n', "chain.first_height"),
    ("a block with two hashes", TWO_HASHES, "chain.blocks"),
    (
        "headers that are not there",
        'version = 1\n[[chain]]\nname = "a"\nheaders_file = "h"\nfirst_height = 1\n',
        "chain.headers_file",
    ),
)


def judge(bundle: str, trust: str | None, patches: list[Patch]) -> Verdicts:
    return verify(
        parse_bundle(to_file(patched(BUNDLES[bundle], patches))), trust_of(None if trust is None else TRUST[trust])
    )


def _agreed(name: str, found: object, written: object) -> None:
    if found != written:
        raise AssertionError(f"{name}: {found} and not {written}")


def _case(
    name: str, bundle: str, trust: str | None, patches: list[Patch], words: str, simulated: str
) -> dict[str, Any]:
    verdicts = judge(bundle, trust, patches)
    expected = dict(zip(NAMES, words.split(), strict=True))
    flags = simulated.split()
    _agreed(name, {key: answer.word for key, answer in verdicts.items()}, expected)
    _agreed(name, [key for key, answer in verdicts.items() if answer.simulated], flags)
    return {
        "name": name,
        "spec": "proof.md §3",
        "bundle": bundle,
        "trust": trust,
        "patches": patches,
        "expect": expected,
        "simulated": flags,
        "reasons": {key: answer.reason for key, answer in verdicts.items()},
    }


def _exits() -> list[dict[str, Any]]:
    found = []
    for name, bundle, trust, required, allowed, code in EXITS:
        verdicts = judge(bundle, trust, [])
        verdicts = verdicts if allowed else verdicts.without_simulated()
        _agreed(name, verdicts.exit_code(required.split()), code)
        case = {"name": name, "spec": "proof.md §4", "bundle": bundle, "trust": trust, "require": required.split()}
        found.append({**case, "allow_simulated": allowed, "exit": code})
    return found


def _unreadable() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, bundle, patches, field in UNREADABLE:
        refusal = refused(parse_bundle, to_file(patched(BUNDLES[bundle], patches)))
        _agreed(name, refusal["field"], field)
        found.append({"name": name, "spec": "proof.md §1", "bundle": bundle, "patches": patches, **refusal})
    for name, text, field in UNREADABLE_TEXTS:
        refusal = refused(parse_bundle, text.encode())
        _agreed(name, refusal["field"], field)
        found.append({"name": name, "spec": "proof.md §1", "text": text, **refusal})
    return found


def _bad_trust() -> list[dict[str, Any]]:
    found = []
    for name, text, field in BAD_TRUST:
        refusal = refused(trust_of, text)
        _agreed(name, refusal["field"], field)
        found.append({"name": name, "spec": "proof.md §2", "text": text, **refusal})
    return found


def vectors() -> dict[str, Any]:
    """The whole file."""
    cases = [_case(name, bundle, trust, [], words, flags) for name, bundle, trust, words, flags in WHOLE]
    for name, bundle, patches, words in CHANGED:
        unanchored = name in ("no anchor", "a checkpoint that is no note")
        cases.append(_case(name, bundle, bundle, patches, words, "" if unanchored else "anchored"))
    return {
        "format": "wattseal-vectors-bundle-1",
        "specification": "docs/spec/proof.md",
        "bundles": BUNDLES,
        "trust": TRUST,
        "cases": cases,
        "exits": _exits(),
        "unreadable": _unreadable(),
        "trust_unreadable": _bad_trust(),
    }
