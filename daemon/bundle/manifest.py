"""What a bundle says of itself, and the node in it that knows most."""

from __future__ import annotations

import msgspec

from daemon.bundle.archive import BundleError

FILE = "manifest.json"
FORMAT = "vipcast-support-bundle"
VERSION = 1


class NodeEntry(msgspec.Struct, frozen=True):
    """One node of the cluster."""

    applied_index: int = -1
    """entry of the log that its view is as of; -1: it has told no view"""
    missing: dict[str, str] = {}
    """file, or `node` for all of them → why it is not there"""


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`."""

    cluster: str
    made_by: str
    made_at: str
    """ISO 8601, UTC"""
    vipcast: str
    nodes: dict[str, NodeEntry]
    format: str = FORMAT
    version: int = VERSION


def encode(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def decode(files: dict[str, bytes]) -> Manifest:
    """Raises BundleError."""
    if FILE not in files:
        raise BundleError(f"it has no {FILE}")
    try:
        manifest = msgspec.json.decode(files[FILE], type=Manifest)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"its {FILE} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BundleError(f"its {FILE} says that it is a {manifest.format[:80]!r}")
    if manifest.version > VERSION:
        raise BundleError(
            f"it is of version {manifest.version}, and this vipcast reads up to {VERSION}: use a newer one"
        )
    return manifest


def best_informed(manifest: Manifest, files: dict[str, bytes]) -> str:
    """The node whose view is of the newest entry.  Raises BundleError where none has told a view."""
    told = [name for name in manifest.nodes if f"{name}/view.json" in files]
    if not told:
        raise BundleError("no node in it has told what the scheduler goes by (view.json)")
    return max(told, key=lambda name: (manifest.nodes[name].applied_index, name))
