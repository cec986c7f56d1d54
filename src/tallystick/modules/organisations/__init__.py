"""Organisations: who is a member of the zone, which keys speak for it, and how both change.

It needs nothing of other modules, and so has no ports. Its specification is the README beside this file.
"""

from tallystick.machine import Module
from tallystick.modules.organisations.authority import AUTHORITY
from tallystick.modules.organisations.invariants import INVARIANTS
from tallystick.modules.organisations.ops import (
    add_key,
    admit_organisation,
    cancel_recovery,
    finish_recovery,
    reinstate_organisation,
    rename_organisation,
    revoke_key,
    rotate_encryption_key,
    rotate_key,
    set_address,
    set_tls_pins,
    start_recovery,
    suspend_organisation,
)
from tallystick.modules.organisations.records import CANDIDATES, KEYS, MOTIONS, ORGANISATIONS, RECOVERIES, ZONE
from tallystick.modules.organisations.rejections import REJECTIONS

MODULE = Module(
    name="organisations",
    collections=(ZONE, ORGANISATIONS, KEYS, CANDIDATES, MOTIONS, RECOVERIES),
    operations=(
        admit_organisation.OPERATION,
        add_key.OPERATION,
        revoke_key.OPERATION,
        rotate_key.OPERATION,
        rotate_encryption_key.OPERATION,
        set_tls_pins.OPERATION,
        set_address.OPERATION,
        rename_organisation.OPERATION,
        start_recovery.OPERATION,
        cancel_recovery.OPERATION,
        finish_recovery.OPERATION,
        suspend_organisation.OPERATION,
        reinstate_organisation.OPERATION,
    ),
    rejections=REJECTIONS,
    events=(
        admit_organisation.AdmissionVoted,
        admit_organisation.OrganisationAdmitted,
        add_key.KeyAdded,
        revoke_key.KeyRevoked,
        rotate_key.KeyRotated,
        rotate_encryption_key.EncryptionKeyRotated,
        set_tls_pins.TlsPinsSet,
        set_address.AddressSet,
        rename_organisation.OrganisationRenamed,
        start_recovery.RecoveryStarted,
        cancel_recovery.RecoveryCancelled,
        finish_recovery.RecoveryFinished,
        suspend_organisation.SuspensionVoted,
        suspend_organisation.OrganisationSuspended,
        reinstate_organisation.ReinstatementVoted,
        reinstate_organisation.OrganisationReinstated,
    ),
    invariants=INVARIANTS,
)

__all__ = ["AUTHORITY", "MODULE"]
