"""The data plane: moving the data itself, encrypted, verified chunk by chunk, and never over the ledger.

    fingerprints   what a dataset is: a salted root over its chunks         sources, layout, sidecars, schemas
    sealing        to one recipient: HPKE; the key package of a delivery     package
    stream         AES-256-GCM in segments, any range again                  sending, receiving
    server, client the two halves on the network, over TLS with pinned keys  certificates, transfer, landing

Rules of this room:

- It knows no ledger. Whether something may leave is asked of the node through `ports`, at every request.
- What leaves was verified to be what was offered; what arrives is verified before it is kept.
- Names and sizes that came from a peer are checked before they are used, and its words before they are shown.

`server` and `client` need aiohttp and are imported by name; everything here works without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.lazy import lazy_names

if TYPE_CHECKING:
    from tallystick.dataplane.certificates import TlsIdentity, spki_pin
    from tallystick.dataplane.fingerprints import take_fingerprint, verify_against, verify_fingerprint
    from tallystick.dataplane.layout import Layout
    from tallystick.dataplane.media_types import media_type_of
    from tallystick.dataplane.package import KeyPackage, build_package, open_package, seal_package
    from tallystick.dataplane.ports import AccessPolicy, Grant, PeerDirectory, TransferObserver, TransferReport
    from tallystick.dataplane.refusals import refusal_name
    from tallystick.dataplane.schemas import Column, Table, describe_table
    from tallystick.dataplane.sealing import binding, open_sealed, seal
    from tallystick.dataplane.sidecars import Fingerprint, Sidecar, SidecarShelf, decode_sidecar, encode_sidecar
    from tallystick.dataplane.sources import FileEntry, Manifest, Source, scan
    from tallystick.dataplane.stream import StreamCipher, new_content_key
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "tallystick.dataplane.certificates": ("TlsIdentity", "spki_pin"),
            "tallystick.dataplane.fingerprints": ("take_fingerprint", "verify_against", "verify_fingerprint"),
            "tallystick.dataplane.layout": ("Layout",),
            "tallystick.dataplane.media_types": ("media_type_of",),
            "tallystick.dataplane.package": ("KeyPackage", "build_package", "open_package", "seal_package"),
            "tallystick.dataplane.ports": (
                "AccessPolicy",
                "Grant",
                "PeerDirectory",
                "TransferObserver",
                "TransferReport",
            ),
            "tallystick.dataplane.refusals": ("refusal_name",),
            "tallystick.dataplane.schemas": ("Column", "Table", "describe_table"),
            "tallystick.dataplane.sealing": ("binding", "open_sealed", "seal"),
            "tallystick.dataplane.sidecars": (
                "Fingerprint",
                "Sidecar",
                "SidecarShelf",
                "decode_sidecar",
                "encode_sidecar",
            ),
            "tallystick.dataplane.sources": ("FileEntry", "Manifest", "Source", "scan"),
            "tallystick.dataplane.stream": ("StreamCipher", "new_content_key"),
        },
    )

__all__ = [
    "AccessPolicy",
    "Column",
    "FileEntry",
    "Fingerprint",
    "Grant",
    "KeyPackage",
    "Layout",
    "Manifest",
    "PeerDirectory",
    "Sidecar",
    "SidecarShelf",
    "Source",
    "StreamCipher",
    "Table",
    "TlsIdentity",
    "TransferObserver",
    "TransferReport",
    "binding",
    "build_package",
    "decode_sidecar",
    "describe_table",
    "encode_sidecar",
    "media_type_of",
    "new_content_key",
    "open_package",
    "open_sealed",
    "refusal_name",
    "scan",
    "seal",
    "seal_package",
    "spki_pin",
    "take_fingerprint",
    "verify_against",
    "verify_fingerprint",
]
