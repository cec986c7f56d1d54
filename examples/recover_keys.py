"""Replace all ledger keys of an organisation, by its recovery key.

    cp -a HOME/keys NEW_KEYS
    python examples/recover_keys.py start HOME RECOVERY_FILE NEW_KEYS
    python examples/recover_keys.py finish HOME RECOVERY_FILE REC_ID
    python examples/recover_keys.py cancel HOME REC_ID

`start` makes a fresh key for each role in NEW_KEYS and announces them; `finish` installs what was announced, once the
zone's waiting period is over (72 hours, unless the zone was made with another); `cancel` stops a recovery that is not
rightful, by the security key in HOME. HOME is that of the organisation's node, which runs. The keys of the node that orders
are not replaced so: it would go on signing blocks by a key that no longer counts.
"""

from __future__ import annotations

import getpass
import secrets
import sys
import time
from pathlib import Path
from typing import cast

import tallystick
from tallystick.errors import AccessError, RejectedError, TallystickError, UsageError
from tallystick.keys import LEDGER_ROLES, RECOVERY, KeyStore, Signer, find_passphrase, open_exported
from tallystick.machine import Message, build_transaction
from tallystick.modules.organisations.ops import CancelRecovery, FinishRecovery, NewKey, StartRecovery
from tallystick.modules.organisations.possession import possession_message
from tallystick.views import SubmittedView

EXPIRES_AFTER_MS = 600_000


def start(zone: tallystick.Zone, recovery: Signer, new_keys: Path) -> SubmittedView:
    """Make keys, have each sign what it is for, and announce them."""
    keys = KeyStore(new_keys).unlock(find_passphrase())
    made = [keys.create(role) for role in LEDGER_ROLES]
    announced = []
    for info in made:
        message = possession_message(zone.chain, zone.organisation_id, info.public, recovery=True)
        announced.append(NewKey(key=info.public, roles=(info.role,), proof=keys.signer(info.id).sign(message).hex()))
    try:
        return submit(zone, recovery, StartRecovery(keys=tuple(sorted(announced, key=lambda new: new.key))))
    except RejectedError:
        # A node signs with the newest key in use: what was not announced must not be that.
        for info in made:
            keys.retire(info.id)
        raise


def finish(zone: tallystick.Zone, recovery: Signer, identifier: str) -> SubmittedView:
    """Install the keys that were announced; those before are revoked by it."""
    return submit(zone, recovery, FinishRecovery(recovery=identifier))


def submit(zone: tallystick.Zone, signer: Signer, message: Message) -> SubmittedView:
    """Sign one operation by a key that the node does not hold, and hand it in."""
    status = zone.status()
    transaction = build_transaction(
        [message],
        organisation=zone.organisation_id,
        key=signer.public_key,
        sign=signer.sign,
        external_aad=zone.trust.genesis,
        expires=time.time_ns() // 1_000_000 + EXPIRES_AFTER_MS,
        nonce=secrets.token_hex(16),
        seen_size=status.size,
        seen_root=bytes.fromhex(status.root),
    )
    (done,) = zone.submit([transaction])
    if isinstance(done, TallystickError):
        raise done
    outcome = done.outcomes[0]
    if outcome.code:
        raise RejectedError(outcome.code, outcome.name, outcome.message)
    return done


def cancel(home: Path, identifier: str) -> None:
    """Stop a recovery that waits, by a security key that is registered and that the node holds."""
    keys = KeyStore(home / "keys").unlock(find_passphrase())
    with tallystick.connect(home=home) as zone:
        own = next(member for member in zone.organisations() if member.id == zone.organisation_id)
        registered = {each.key for each in own.keys if "security" in each.roles}
        held = [info for info in keys.list() if info.public in registered]
        if not held:
            raise AccessError(f"{home} holds no registered security key", remedy="Use the home that does.")
        done = submit(zone, keys.signer(held[-1].id), CancelRecovery(recovery=identifier))
    print(f"Cancelled in block {done.height}.")


def recover(what: str, home: Path, file: Path, argument: str, passphrase: str) -> None:
    """Start or finish."""
    info, key = open_exported(file, passphrase)
    if info.role != RECOVERY:
        raise UsageError(f"{file} holds a key of the role {info.role}", remedy="Name the file of the recovery key.")
    recovery = cast(Signer, key)
    if what == "start" and home.joinpath("keys").resolve() == Path(argument).resolve():
        raise UsageError("the new keys are to be apart from the node's", remedy="Copy the folder first.")
    with tallystick.connect(home=home) as zone:
        if any(member.orders for member in zone.organisations() if member.id == zone.organisation_id):
            raise UsageError("this node orders for the zone", remedy="Its keys cannot be replaced while it does.")
        if what == "start":
            done = start(zone, recovery, Path(argument))
            print(f"Announced in block {done.height}. See: tally ledger events --from-height {done.height}")
        else:
            done = finish(zone, recovery, argument)
            print(f"Installed in block {done.height}. The node's old system key is wanted for one more signature:")
            print("wait until `tally zone status` shows no pending version of the trust file.")
            print("Then stop the node, put the new keys in the place of keys/, and start it.")


def main(arguments: list[str]) -> None:
    """Do one of the steps."""
    match arguments:
        case ["cancel", home, identifier]:
            cancel(Path(home), identifier)
        case ["start" | "finish" as what, home, file, argument]:
            passphrase = getpass.getpass("Passphrase of the recovery file: ")
            recover(what, Path(home), Path(file), argument, passphrase)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except TallystickError as error:
        raise SystemExit(f"error: {error}. {getattr(error, 'remedy', '')}") from None
