"""Why the organisations module refuses, from 1001. Numbers keep their meaning for ever."""

from __future__ import annotations

from tallystick.machine import Rejection

BAD_CARD = Rejection(1001, "bad_card", "the card is not good: {reason}")
BAD_KEY = Rejection(1002, "bad_key", "{field} is not a key of 32 bytes in lower-case hex")
BAD_ROLES = Rejection(1003, "bad_roles", "the roles are unknown, repeated or not sorted")
BAD_PROOF = Rejection(1004, "bad_proof", "the proof is not the new key's signature for this organisation and zone")
BAD_DISPLAY_NAME = Rejection(1005, "bad_display_name", "a name has 1 to 120 characters, none a control character")
BAD_ADDRESS = Rejection(1006, "bad_address", "an address is host:port, or empty")
BAD_PINS = Rejection(1007, "bad_pins", "pins are at most 8 hashes, sorted, none repeated")
NOT_VALIDATOR = Rejection(1008, "not_validator", "{organisation} is not a validator, and only they vote")
ORGANISATION_EXISTS = Rejection(1009, "organisation_exists", "{organisation} is a member already")
UNKNOWN_ORGANISATION = Rejection(1010, "unknown_organisation", "there is no organisation {organisation}")
ALREADY_VOTED = Rejection(1011, "already_voted", "{organisation} has voted on this already")
KEY_TAKEN = Rejection(1012, "key_taken", "the key {key} was registered before; a key is never registered twice")
NOT_HELD = Rejection(1013, "not_held", "{key} is not an active key of {organisation}")
LAST_SECURITY_KEY = Rejection(1014, "last_security_key", "{organisation} would be without a security key; rotate it")
ONE_SYSTEM_KEY = Rejection(1015, "one_system_key", "{organisation} holds exactly one system key at any time; rotate it")
TOO_MANY_KEYS = Rejection(1016, "too_many_keys", "{organisation} would hold more than {limit} keys")
NOTHING_CHANGES = Rejection(1017, "nothing_changes", "this is so already")
RECOVERY_WAITS = Rejection(1018, "recovery_waits", "the recovery {recovery} waits; finish or cancel it first")
NO_RECOVERY = Rejection(1019, "no_recovery", "no recovery of {organisation} waits")
RECOVERY_NOT_READY = Rejection(1020, "recovery_not_ready", "the recovery may be finished from {ready_at} ms on")
OWN_CASE = Rejection(1021, "own_case", "{organisation} does not vote on itself")
ORDERER_STAYS = Rejection(1022, "orderer_stays", "{organisation} orders this zone and cannot be voted out")
ALREADY_SUSPENDED = Rejection(1023, "already_suspended", "{organisation} is suspended already")
NOT_SUSPENDED = Rejection(1024, "not_suspended", "{organisation} is not suspended")
BAD_ENGINE = Rejection(1025, "bad_engine", "the engine's {field} is not of its form")
ENGINE_TAKEN = Rejection(1026, "engine_taken", "the engine's {field} is, or was, on record already; take a new one")
ALREADY_VALIDATOR = Rejection(1027, "already_validator", "{organisation} is a validator already")
NO_VALIDATOR = Rejection(1028, "no_validator", "{organisation} is not a validator")
NO_ENGINE = Rejection(1029, "no_engine", "{organisation} has announced no engine")
IS_SUSPENDED = Rejection(1030, "is_suspended", "{organisation} is suspended")
LAST_VALIDATOR = Rejection(1031, "last_validator", "nobody would be left to order and to vote")
ORDER_TOGETHER = Rejection(1032, "order_together", "the validators of this zone order together already")

REJECTIONS: tuple[Rejection, ...] = (
    BAD_CARD,
    BAD_KEY,
    BAD_ROLES,
    BAD_PROOF,
    BAD_DISPLAY_NAME,
    BAD_ADDRESS,
    BAD_PINS,
    NOT_VALIDATOR,
    ORGANISATION_EXISTS,
    UNKNOWN_ORGANISATION,
    ALREADY_VOTED,
    KEY_TAKEN,
    NOT_HELD,
    LAST_SECURITY_KEY,
    ONE_SYSTEM_KEY,
    TOO_MANY_KEYS,
    NOTHING_CHANGES,
    RECOVERY_WAITS,
    NO_RECOVERY,
    RECOVERY_NOT_READY,
    OWN_CASE,
    ORDERER_STAYS,
    ALREADY_SUSPENDED,
    NOT_SUSPENDED,
    BAD_ENGINE,
    ENGINE_TAKEN,
    ALREADY_VALIDATOR,
    NO_VALIDATOR,
    NO_ENGINE,
    IS_SUSPENDED,
    LAST_VALIDATOR,
    ORDER_TOGETHER,
)
