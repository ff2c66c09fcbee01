"""Where the view comes from that a command plans by: a CIB file, or the cluster."""

from __future__ import annotations

import time
from pathlib import Path

from daemon.cli.call import Call, CommandError
from daemon.cli.files import read_file
from daemon.model.findings import Refused
from daemon.scheduler.cibstatus import read_view
from daemon.scheduler.view import View

NS_PER_MS = 1_000_000


def present_view(call: Call) -> View:
    """The view of the file of --cib or -f, of a bundle, or that of the cluster.  Raises CommandError, ControlError."""
    path = call.value("--cib") or call.value("--file")
    bundle = call.value("--bundle")
    if bundle is not None:
        if path is not None:
            raise call.misuse("choose one: a CIB file or a support bundle")
        return _bundled(call, Path(bundle))
    if path is None:
        from daemon.control.viewdoc import ViewError, view_of  # noqa: PLC0415 - start-up time

        try:
            return view_of(call.client.view())
        except ViewError as error:
            sentence = (
                f"this vipcast cannot read the daemon's configuration ({error}): are both of the same version?"
            )
            raise CommandError(sentence) from error
    try:
        return read_view(read_file(path), time.time_ns() // NS_PER_MS)
    except Refused as error:
        raise CommandError(f"{path} is not a CIB that can be used", error.findings, "bad-cib") from error


def _bundled(call: Call, path: Path) -> View:
    """As the node saw it that knew most.  Raises CommandError."""
    from daemon.bundle import archive, gathering, manifest  # noqa: PLC0415 - start-up time
    from daemon.bundle.archive import BundleError  # noqa: PLC0415 - start-up time
    from daemon.control.viewdoc import ViewError, view_of  # noqa: PLC0415 - start-up time

    try:
        files = archive.read(path)
    except BundleError as error:
        raise CommandError(str(error), code="bad-bundle") from error
    try:
        about = manifest.decode(files)
        node = manifest.best_informed(about, files)
        view = view_of(gathering.view_of(files[f"{node}/view.json"]))
    except (BundleError, ViewError, ValueError, RecursionError) as error:
        raise CommandError(
            f"{path} is a bundle that this vipcast cannot use: {error}", code="bad-bundle"
        ) from error
    index = about.nodes[node].applied_index
    call.out.note(f"Cluster {about.cluster} as {node} saw it at entry {index}, gathered at {about.made_at}")
    return view
