"""Who may sign for whom: the machine's door to registered keys, asked once for each transaction."""

from __future__ import annotations

from tallystick.machine import Rights, State
from tallystick.modules.organisations.records import KEYS, ORGANISATIONS, RECOVERY_ROLE


class KeyAuthority:
    """Rights by the `keys` and `organisations` collections; two look-ups."""

    collections = frozenset({KEYS.name, ORGANISATIONS.name})

    def find_rights(self, state: State, key: str) -> Rights | None:
        """Return the rights of a key (lower-case hex), or None if it is not registered or was revoked.

        A recovery key is good for recovery also while its organisation is suspended: stolen keys are a reason to
        suspend an organisation, and their replacement should not have to wait for its reinstatement.
        """
        record = state.find(KEYS, key)
        if record is None or record.revoked_at is not None:
            return None
        if record.roles[0] == RECOVERY_ROLE:
            return Rights(record.organisation, record.roles)
        organisation = state.get(ORGANISATIONS, record.organisation)
        return Rights(record.organisation, record.roles, organisation.status == "suspended")


AUTHORITY = KeyAuthority()
