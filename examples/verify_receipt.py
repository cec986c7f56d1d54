"""A verifier of receipts on its own: the standard library, PyNaCl, and docs/reference/receipt.md. No Tallystick.

    python verify_receipt.py permit.receipt.json zone.json

Exit code 0: the receipt holds. 1: it does not, and the reason is printed.
"""

# ruff: noqa: D103
import base64
import hashlib
import json
import re
import sys

from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

LIMIT = 2**53
MEMBER = {"organisation": "name", "key": "hash"}
SIGNED = {"organisation": "name", "signature": "signature"}
VERSION = {
    "version": "positive", "height": "number", "since": "number", "validators": ["name"], "needed": "number",
    "joined": [MEMBER], "left": [MEMBER], "signatures": [SIGNED],
}  # fmt: skip
TRUST = {"chain": "text", "genesis": "hash", "v": "one", "versions": [VERSION]}
HEADER = {
    "app_hash": "hash", "chain": "text", "height": "positive", "previous": "hash", "time": "number",
    "transactions_root": "hash",
}  # fmt: skip
RECEIPT = {
    "chain": "text", "cosignatures": [{**SIGNED, "time": "number"}], "header": HEADER, "header_signatures": [SIGNED],
    "height": "positive", "index": "number", "leaf_index": "number", "links": [VERSION], "operation": "object",
    "operation_path": ["hash"], "outcome": "number", "path": ["hash"], "size": "positive", "state_root": "hash",
    "time": "number", "transaction": "hex", "v": "one",
}  # fmt: skip
PAYLOAD = {
    "atomic": "boolean", "expires": "number", "nonce": "nonce", "operations_root": "hash", "organisation": "name",
    "seen": {"root": "hash", "size": "number"}, "v": "one",
}  # fmt: skip
PATTERNS = {
    "hash": "[0-9a-f]{64}", "signature": "[0-9a-f]{128}", "nonce": "[0-9a-f]{32}", "hex": "([0-9a-f]{2})*",
    "name": "[a-z][a-z0-9-]{0,38}[a-z0-9]", "text": "(?s:.*)",
}  # fmt: skip


class Refused(Exception):
    """The receipt or the trust file does not hold."""


def need(condition, reason):
    if not condition:
        raise Refused(reason)


def sha256(data):
    return hashlib.sha256(data).digest()


def tagged(tag, *parts):
    return sha256(bytes([len(tag)]) + tag + b"".join(len(part).to_bytes(8, "big") + part for part in parts))


def leaf(data):
    return sha256(b"\0" + data)


def node(left, right):
    return sha256(b"\1" + left + right)


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def plain(value, depth):
    """Whether a value is JSON of the allowed subset, at most `depth` levels deep."""
    if isinstance(value, dict):
        return depth > 0 and all(key.isascii() and plain(item, depth - 1) for key, item in value.items())
    if isinstance(value, list):
        return depth > 0 and all(plain(item, depth - 1) for item in value)
    return value is None or type(value) in (bool, str) or (type(value) is int and abs(value) < LIMIT)


def fits(value, form):
    """Whether a value has exactly the fields and types of a form."""
    if isinstance(form, dict):
        return type(value) is dict and value.keys() == form.keys() and all(fits(value[key], form[key]) for key in form)
    if isinstance(form, list):
        return type(value) is list and all(fits(item, form[0]) for item in value)
    if form in PATTERNS:
        return type(value) is str and re.fullmatch(PATTERNS[form], value) is not None
    if form == "object":
        return type(value) is dict
    if form == "boolean":
        return type(value) is bool
    least = {"number": 0, "positive": 1, "one": 1}[form]
    return type(value) is int and least <= value < (2 if form == "one" else LIMIT)


def read(data, form, limit):
    need(len(data) <= limit, "not_canonical: too long")
    try:
        value = json.loads(data.decode())
        same = plain(value, 16) and canonical(value) == data
    except (ValueError, RecursionError):
        same = False
    need(same and fits(value, form), "not_canonical")
    return value


def verify(key, message, signature, reason):
    try:
        VerifyKey(bytes.fromhex(key)).verify(message, bytes.fromhex(signature))
    except (CryptoError, ValueError):
        raise Refused(reason) from None


def rising(items):
    names = [item["organisation"] for item in items]
    return all(earlier < later for earlier, later in zip(names, names[1:]))  # noqa: B905, RUF007


def enough(signers, validators):
    """Whether so many of those who order are more than two thirds of them."""
    return 3 * signers > 2 * len(validators)


def next_version(before, entry, genesis):
    """Check one version of the trust file against the one before (None for the first) and return it worked out."""
    number = before["version"] + 1 if before else 1
    least = (before["height"], before["since"]) if before else (0, 0)
    members = dict(before["members"]) if before else {}
    need(entry["version"] == number, "bad_version")
    need(entry["height"] >= least[0] and entry["since"] >= least[1], "bad_version")
    need(before or entry["height"] == entry["since"] == 0, "bad_version")
    need(rising(entry["joined"]) and rising(entry["left"]) and rising(entry["signatures"]), "not sorted")
    for member in entry["left"]:
        need(members.pop(member["organisation"], None) == member["key"], "bad_members")
    for member in entry["joined"]:
        need(member["organisation"] not in members, "bad_members")
        need(not before or before["members"].get(member["organisation"]) != member["key"], "bad_members")
        members[member["organisation"]] = member["key"]
    names = entry["validators"]
    need(len(set(members.values())) == len(members), "bad_members")
    need(names and names == sorted(set(names)) and all(name in members for name in names), "bad_members")
    validators, others = {name: members[name] for name in names}, len(members) - len(names)
    need((1 if others and len(names) < 4 else 0) <= entry["needed"] <= others, "bad_quorum")
    unsigned = canonical({key: value for key, value in entry.items() if key != "signatures"})
    identity = tagged(b"tallystick/trust", before["hash"] if before else genesis, unsigned)
    allowed = before["members"] if before else validators
    for signature in entry["signatures"]:
        need(signature["organisation"] in allowed, "bad_trust_signature")
        key = allowed[signature["organisation"]]
        verify(key, b"tallystick/trust-v1\0" + identity, signature["signature"], "bad_trust_signature")
    judges, needed = (before["validators"], before["needed"]) if before else (validators, 0)
    signers = {signature["organisation"] for signature in entry["signatures"]}
    ordering = len(signers & judges.keys())
    need(enough(ordering, judges) and len(signers) - ordering >= needed, "too_few_signatures")
    return {**entry, "members": members, "validators": validators, "hash": identity}


def worked_out(entries, genesis):
    versions = []
    for entry in entries:
        versions.append(next_version(versions[-1] if versions else None, entry, genesis))
    return versions


def deciding_version(receipt, trust, genesis):
    """Follow the receipt's links and return the trust version that holds at its size."""
    versions, links = worked_out(trust["versions"], genesis), receipt["links"]
    need(versions, "the trust file is empty")
    if links:
        start = links[0]["version"]
        need(start <= len(versions) + 1, "unknown_version")
        need(start >= 2, "bad_link")
        carried = worked_out(trust["versions"][: start - 1] + links, genesis)
        both = zip(versions, carried)  # noqa: B905
        need(all(mine["hash"] == other["hash"] for mine, other in both), "bad_link")
        versions = carried + versions[len(carried) :]
    version = [each for each in versions if each["since"] <= receipt["size"]][-1]
    need(not links or version["version"] == links[-1]["version"], "bad_link")
    return version


def byte_string(data):
    size = len(data)
    if size < 24:
        return bytes([0x40 + size]) + data
    return (bytes([0x58, size]) if size < 256 else b"\x59" + size.to_bytes(2, "big")) + data


def read_frame(text, genesis):
    """Check the signed frame; return the transaction's id and the payload."""
    raw = bytes.fromhex(text)
    protected = raw[3:87]
    start = b"\xa3\x01\x27\x03\x78\x2bapplication/vnd.tallystick.transaction+json\x04\x58\x20"
    need(protected[:-32] == start and len(protected) == 84, "malformed_transaction")
    head = 3 if raw[88:89] == b"\x59" else 2 if raw[88:89] == b"\x58" else 1
    payload, signature = raw[88 + head : -66], raw[-64:]
    need(len(payload) <= 1024, "malformed_transaction")
    again = b"\x84" + byte_string(protected) + b"\xa0" + byte_string(payload) + b"\x58\x40" + signature
    need(again == raw, "malformed_transaction")
    signed = b"\x84\x6aSignature1" + byte_string(protected) + b"\x58\x20" + genesis + byte_string(payload)
    verify(protected[-32:].hex(), signed, signature.hex(), "bad_signature")
    return sha256(signed), read(payload, PAYLOAD, 1024)


def operation_root(data, index, path):
    rights, root = len(path) - bin(index).count("1"), leaf(data)
    if rights < 0:
        return None
    for sibling in path:
        while not index & 1 and rights == 0:
            index >>= 1
        if index & 1:
            root = node(sibling, root)
        else:
            root, rights = node(root, sibling), rights - 1
        index >>= 1
    return root


def inclusion_root(value, index, size, path):
    """RFC 9162 section 2.1.3.2."""
    need(index < size, "not_in_history")
    last = size - 1
    for step in path:
        need(last > 0, "not_in_history")
        if index & 1 or index == last:
            value = node(step, value)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            value = node(value, step)
        index, last = index >> 1, last >> 1
    need(last == 0, "not_in_history")
    return value


def verify_receipt(data, trust_data):
    """Return (operation, outcome, time in ms, summary), or raise `Refused`."""
    trust = read(trust_data, TRUST, 64 << 20)
    receipt = read(data, RECEIPT, 4 << 20)
    chain = receipt["chain"]
    need(re.fullmatch("[a-z0-9]([a-z0-9._-]{0,38}[a-z0-9])?-[0-9a-f]{8}", trust["chain"]), "not a chain id")
    need(chain == trust["chain"], "other_zone")
    genesis = bytes.fromhex(trust["genesis"])
    version = deciding_version(receipt, trust, genesis)
    identity, payload = read_frame(receipt["transaction"], genesis)
    path = [bytes.fromhex(step) for step in receipt["path"]]
    steps = [bytes.fromhex(step) for step in receipt["operation_path"]]
    need(len(path) <= 64 and len(steps) <= 64, "not_canonical")
    operation, index = canonical(receipt["operation"]), receipt["index"]
    root = operation_root(operation, index, steps) if index < 1000 else None
    need(root and root.hex() == payload["operations_root"], "not_in_transaction")
    entry = {key: receipt[key] for key in ("height", "index", "outcome", "time")}
    entry = canonical({**entry, "operation": sha256(operation).hex(), "transaction": identity.hex()})
    history_root = inclusion_root(leaf(entry), receipt["leaf_index"], receipt["size"], path)
    header, size = receipt["header"], receipt["size"]
    same_block = header["height"] == receipt["height"]
    need(header["chain"] == chain and header["height"] >= receipt["height"], "field_mismatch")
    need(header["time"] >= receipt["time"] and not (same_block and header["time"] != receipt["time"]), "field_mismatch")
    state_root = bytes.fromhex(receipt["state_root"])
    app_hash = tagged(b"tallystick/app-hash", state_root, history_root, size.to_bytes(8, "big"))
    need(app_hash.hex() == header["app_hash"], "app_hash_mismatch")
    message = b"tallystick/header-v1\0" + canonical(header)
    validators, signatures = version["validators"], receipt["header_signatures"]
    need(rising(signatures), "bad_header_signature")
    for each in signatures:
        need(each["organisation"] in validators, "bad_header_signature")
        verify(validators[each["organisation"]], message, each["signature"], "bad_header_signature")
    need(enough(len(signatures), validators), "too_few_header_signatures")
    need(rising(receipt["cosignatures"]), "cosignatures_out_of_order")
    for each in receipt["cosignatures"]:
        name = each["organisation"]
        need(name in version["members"] and name not in validators, "unknown_member")
        body = f"cosignature/v1\ntime {each['time']}\n{chain}\n{size}\n{base64.b64encode(history_root).decode()}\n"
        verify(version["members"][name], body.encode(), each["signature"], "bad_cosignature")
    count, others = len(receipt["cosignatures"]), len(version["members"]) - len(validators)
    need(count >= version["needed"], "not_yet_witnessed")
    summary = "ordered by 1" if len(validators) == 1 else f"ordered by {len(signatures)} of {len(validators)}"
    if others or len(validators) == 1:
        summary += f", witnessed by {count} of {others}" if others else ", witnessed by nobody yet"
    return receipt["operation"], receipt["outcome"], receipt["time"], summary


def main(receipt_file, trust_file):
    with open(receipt_file, "rb") as receipt, open(trust_file, "rb") as trust:
        try:
            operation, outcome, time, summary = verify_receipt(receipt.read(), trust.read())
        except Refused as refused:
            print(f"refused: {refused}", file=sys.stderr)
            return 1
    print(f"{summary}; outcome {outcome} at {time} ms: {operation}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: verify_receipt.py RECEIPT ZONE_JSON")
    sys.exit(main(sys.argv[1], sys.argv[2]))
