"""`vipcast cluster token` and `vipcast cluster join`: how further hosts come into a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path as FilePath

from daemon import hostfiles, interfaces, keys
from daemon.cli import founding, returning
from daemon.cli.call import OK, Call, CommandError
from daemon.cluster.enrolment.exchange import Application, Grant, GrantedLink
from daemon.cluster.enrolment.token import Token, TokenError, parse
from daemon.control.schema import TokenRequest
from daemon.hostfiles import Files, LinkTable, Membership
from daemon.model.values import BadValue, parse_duration_ms

TTL_DEFAULT = "10m"
USES_MAX = 64


def token(call: Call) -> int:
    """`vipcast cluster token`: one line on standard output, the rest for the person."""
    text = call.value("--ttl") or TTL_DEFAULT
    try:
        ttl_ms = parse_duration_ms(text)
    except BadValue as error:
        raise call.misuse(f"--ttl: {error}") from error
    uses = call.number("--uses", 1, 1, USES_MAX)
    from daemon.cli.author import author  # noqa: PLC0415 - start-up time

    made = call.client.token(TokenRequest(ttl_ms, uses, author(call.environment)))
    if call.out.json_wanted:
        call.out.document(made)
        return OK
    call.out.line(made.token)
    hosts = "one host" if made.uses == 1 else f"{made.uses} hosts"
    call.out.note(
        f"Good for {text} and {hosts}, as long as vipcastd on {made.node} runs; it is as secret as the key."
    )
    call.out.note(f"On the new host:  vipcast cluster join {made.token}")
    return OK


def join(call: Call) -> int:
    """`vipcast cluster join <token>`, or `<cluster> --key FILE`"""
    witness = call.has("--witness")
    own = founding.own_places(call, witness=witness)
    files = Files.at(own, call.value("--settings"))
    cluster_id = ""
    if call.has("--key"):
        name = founding.node_name(call)
        founding.refuse_existing(call, files, own)
        membership, key, choice = _by_key(call, name)
    else:
        asked = _token(call)
        if (locked_out := returning.who_may_return(call, files)) is not None:
            return returning.give_key(call, asked, locked_out)
        name = founding.node_name(call)
        founding.refuse_existing(call, files, own)
        membership, key, choice, cluster_id = _by_token(call, asked, name)
    if call.has("--settings"):
        membership = _moved(membership, files.authkey)
    founding.write(files, membership, key)
    if cluster_id:
        founding.prepare_store(own.state, cluster_id)
    if call.out.json_wanted:
        call.out.document(founding.document(files, membership))
    else:
        what = "witness" if witness else "node"
        call.out.line(f"This host may join cluster '{membership.cluster}' as its {what} {name}.")
        founding.told_files(call, files, "the cluster's key")
        founding.told_link(call, membership.links[0], choice)
        for link in membership.links[1:]:
            call.out.line(f"  link: {link.interface}; {founding.destinations(link)}")
    return founding.starting(call, witness=witness)


def _token(call: Call) -> Token:
    (text,) = call.arguments
    if call.has("--group") or call.has("--port") or call.has("--profile"):
        raise call.misuse("--group, --port and --profile go with --key: a token brings the cluster's own")
    try:
        return parse(text)
    except TokenError as error:
        raise CommandError(str(error), code="token") from error


def _by_token(call: Call, asked: Token, name: str) -> tuple[Membership, bytes, interfaces.Choice, str]:
    """What the settings are to say, the key, how the link was chosen, and the cluster's id."""
    from daemon.cli.applying import VERSION, apply  # noqa: PLC0415 - start-up time

    choice = founding.link_choice(call, asked.address)
    call.out.note(f"Asking {asked.address} and {asked.group}, UDP port {asked.port}, by {choice.interface} …")
    application = Application(name, call.has("--witness"), call.has("--replace"), VERSION)
    grant, multicast = apply(asked, application, choice.interface)
    deaf = not (multicast.out and multicast.back)
    alone = deaf and (call.has("--witness") or not grant.links[0].group)
    if alone:
        call.out.note(
            f"Multicast does not come through: {name} talks by unicast to {_listed(grant.links[0].peers)}"
        )
    elif deaf:
        what = (
            f"{grant.node} does not hear this host" if not multicast.out else "this host does not hear the cluster"
        )
        call.out.note(
            f"Warning: {what} by the group {asked.group}, only by unicast: a switch whose IGMP snooping eats the group,"
            " or a firewall. Heartbeats need it, or peers for the link (see the guide)"
        )
    if grant.version != VERSION:
        call.out.note(f"Warning: {grant.node} runs vipcast {grant.version}, this host {VERSION}")
    membership = Membership(
        cluster=grant.cluster,
        node=name,
        links=tuple(_links(call, grant, choice.interface, multicast=not alone)),
        witness=call.has("--witness"),
        cipher=grant.cipher,
        profile=grant.profile,
        timers=grant.timers,
    )
    return membership, grant.authkey, choice, grant.cluster_id


def _by_key(call: Call, name: str) -> tuple[Membership, bytes, interfaces.Choice]:
    (cluster,) = call.arguments
    founding.refuse_name(cluster, "a cluster")
    key = keys.read(FilePath(call.value("--key") or ""))
    choice = founding.link_choice(call, None)
    group = call.value("--group") or hostfiles.group_of(cluster)
    port = call.number("--port", hostfiles.PORT_DEFAULT, 1, 65535)
    membership = Membership(
        cluster=cluster,
        node=name,
        links=(LinkTable(choice.interface.name, group, port),),
        witness=call.has("--witness"),
        profile=founding.profile(call),
    )
    return membership, key, choice


def _listed(addresses: Sequence[str]) -> str:
    return ", ".join(addresses)


def _links(call: Call, grant: Grant, first: interfaces.Interface, *, multicast: bool) -> list[LinkTable]:
    """Each of the cluster's links on an interface of this host; the first one is where the answer came from.

    Without `multicast` the first link is by unicast to the nodes that are there now.
    """
    here = interfaces.of_this_host()
    link = grant.links[0]
    found = [
        LinkTable(first.name, link.group, link.port)
        if multicast
        else LinkTable(first.name, "", link.port, link.peers)
    ]
    for link in grant.links[1:]:
        interface = _on_network(here, link)
        if interface is None:
            call.out.note(
                f"Warning: the cluster has another link ({link.group} port {link.port}, network"
                f" {link.network or 'not known'}), and no interface of this host is on its network: it is left out."
                " Add a [[link]] table once there is one"
            )
        else:
            found.append(LinkTable(interface.name, link.group, link.port))
    return found


def _on_network(here: list[interfaces.Interface], link: GrantedLink) -> interfaces.Interface | None:
    if not link.network:
        return None
    network = IPv4Network(link.network)
    return next((one for one in here if one.is_candidate and one.on(network)), None)


def _moved(membership: Membership, authkey: FilePath) -> Membership:
    import dataclasses  # noqa: PLC0415 - start-up time

    return dataclasses.replace(membership, authkey=authkey)
