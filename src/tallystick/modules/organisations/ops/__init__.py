"""One operation a file; here the messages by which they are asked for."""

from tallystick.modules.organisations.ops.add_key import AddKey
from tallystick.modules.organisations.ops.admit_organisation import AdmitOrganisation
from tallystick.modules.organisations.ops.cancel_recovery import CancelRecovery
from tallystick.modules.organisations.ops.demote_validator import DemoteValidator
from tallystick.modules.organisations.ops.finish_recovery import FinishRecovery
from tallystick.modules.organisations.ops.hand_over import HandOver
from tallystick.modules.organisations.ops.promote_validator import PromoteValidator
from tallystick.modules.organisations.ops.reinstate_organisation import ReinstateOrganisation
from tallystick.modules.organisations.ops.rename_organisation import RenameOrganisation
from tallystick.modules.organisations.ops.revoke_key import RevokeKey
from tallystick.modules.organisations.ops.rotate_encryption_key import RotateEncryptionKey
from tallystick.modules.organisations.ops.rotate_key import RotateKey
from tallystick.modules.organisations.ops.set_address import SetAddress
from tallystick.modules.organisations.ops.set_engine import SetEngine
from tallystick.modules.organisations.ops.set_tls_pins import SetTlsPins
from tallystick.modules.organisations.ops.start_recovery import NewKey, NewRecoveryKey, StartRecovery
from tallystick.modules.organisations.ops.suspend_organisation import SuspendOrganisation

__all__ = [
    "AddKey",
    "AdmitOrganisation",
    "CancelRecovery",
    "DemoteValidator",
    "FinishRecovery",
    "HandOver",
    "NewKey",
    "NewRecoveryKey",
    "PromoteValidator",
    "ReinstateOrganisation",
    "RenameOrganisation",
    "RevokeKey",
    "RotateEncryptionKey",
    "RotateKey",
    "SetAddress",
    "SetEngine",
    "SetTlsPins",
    "StartRecovery",
    "SuspendOrganisation",
]
