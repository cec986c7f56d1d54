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
    demote_validator,
    finish_recovery,
    hand_over,
    promote_validator,
    reinstate_organisation,
    rename_organisation,
    revoke_key,
    rotate_encryption_key,
    rotate_key,
    set_address,
    set_engine,
    set_tls_pins,
    start_recovery,
    suspend_organisation,
)
from tallystick.modules.organisations.records import (
    CANDIDATES,
    CONSENSUS_KEYS,
    ENGINES,
    HANDOVERS,
    KEYS,
    MOTIONS,
    ORGANISATIONS,
    RECOVERIES,
    SEATINGS,
    ZONE,
)
from tallystick.modules.organisations.rejections import REJECTIONS

MODULE = Module(
    name="organisations",
    collections=(
        ZONE,
        ORGANISATIONS,
        KEYS,
        CANDIDATES,
        MOTIONS,
        RECOVERIES,
        ENGINES,
        CONSENSUS_KEYS,
        HANDOVERS,
        SEATINGS,
    ),
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
        set_engine.OPERATION,
        promote_validator.OPERATION,
        demote_validator.OPERATION,
        hand_over.OPERATION,
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
        set_engine.EngineSet,
        promote_validator.PromotionVoted,
        promote_validator.ValidatorPromoted,
        demote_validator.DemotionVoted,
        demote_validator.ValidatorDemoted,
        hand_over.HandoverAgreed,
        hand_over.HandedOver,
    ),
    invariants=INVARIANTS,
)

__all__ = ["AUTHORITY", "MODULE"]
