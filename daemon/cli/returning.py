"""`vipcast cluster join --force TOKEN` on a member that was locked out: it was away while the key was replaced.

It keeps its settings and its memory.  That the token is of its own cluster, and not of another with the same name, the
cluster's id shows; a memory without one cannot be kept so.
"""

from __future__ import annotations

from daemon import keys, settings
from daemon.cli import founding
from daemon.cli.call import OK, Call, CommandError
from daemon.cluster.enrolment.token import Token
from daemon.cluster.keyring import Keyring
from daemon.hostfiles import Files
from daemon.settings import Settings

RESTART = "systemctl restart vipcastd"


def who_may_return(call: Call, files: Files) -> Settings | None:
    """The settings of the member that this host is; None: it is none, or is to become another one."""
    if not call.has("--force"):
        return None
    try:
        present = settings.load(files.settings)
    except settings.SettingsError:
        return None
    other_name = call.value("--name") not in (None, present.node.name)
    if other_name or call.has("--witness") != present.node.witness or not founding.cluster_of(present.paths.state):
        return None
    return present


def give_key(call: Call, asked: Token, present: Settings) -> int:
    """Ask for the key that is in use now, and put it in its place.  Raises CommandError; then nothing was changed."""
    from daemon.cli.applying import VERSION, apply  # noqa: PLC0415 - start-up time
    from daemon.cluster.enrolment.exchange import Application  # noqa: PLC0415 - start-up time

    choice = founding.link_choice(call, asked.address)
    name, cluster = present.node.name, present.cluster.name
    call.out.note(f"Asking {asked.address} and {asked.group}, UDP port {asked.port}, by {choice.interface} …")
    grant, _ = apply(asked, Application(name, present.node.witness, True, VERSION), choice.interface)
    if (grant.cluster, grant.cluster_id) != (cluster, founding.cluster_of(present.paths.state)):
        raise CommandError(
            f"{grant.node} is of another cluster than this host, which has the memory of '{cluster}'. To leave that"
            " for good, stop vipcastd, move the memory aside with 'vipcast node reset', and type this again",
            code="memory",
        )
    try:
        keys.write_ring(present.paths.authkey, Keyring.of(grant.authkey))
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise CommandError(
            f"{present.paths.authkey}: {said}; nothing was changed; is this root, and is there room?", code="files"
        ) from error
    if call.out.json_wanted:
        call.out.document({"cluster": cluster, "node": name, "files": [str(present.paths.authkey)]})
    else:
        call.out.line(f"{name} has the present key of cluster '{cluster}', and keeps its settings and its memory.")
        call.out.line(f"  {present.paths.authkey}: the cluster's key, mode 0600")
    call.out.note(f"Now start its daemon again:            {RESTART}")
    return OK
