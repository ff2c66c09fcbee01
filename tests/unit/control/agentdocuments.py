"""Agents that a cluster of the tests has, as their meta-data describes them (resource-agents 4.12, shortened)."""

from __future__ import annotations

from agents import systemd
from agents.metadata import parse
from daemon.catalogue import document_of
from daemon.control.schema import AgentDocument

_APACHE = """<resource-agent name="apache" version="1.0">
<shortdesc lang="en">Manages an Apache Web server instance</shortdesc>
<longdesc lang="en">This is the resource agent for the Apache Web server.</longdesc>
<parameters>
<parameter name="configfile" required="0" unique="1"><shortdesc>configuration file path</shortdesc>
<longdesc>The full pathname of the Apache configuration file.</longdesc><content type="string" default="/etc/a.conf"/>
</parameter>
<parameter name="statusurl"><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="40s"/><action name="stop" timeout="60s"/><action name="status" timeout="30s"/>
<action name="monitor" depth="0" timeout="20s" interval="10s"/>
<action name="meta-data" timeout="5s"/><action name="validate-all" timeout="5s"/>
</actions></resource-agent>"""

_ROCKET = """<resource-agent name="rocket">
<shortdesc>Launches</shortdesc>
<parameters>
<parameter name="pad" required="1"><content type="string"/></parameter>
<parameter name="fuel" required="1"><content type="string" default="kerosene"/></parameter>
</parameters>
<actions>
<action name="start" timeout="90s"/><action name="stop" timeout="70s"/>
<action name="monitor" timeout="15s" interval="30s"/>
<action name="monitor" timeout="25s" interval="31s" role="Master" depth="10"/>
<action name="meta-data" timeout="5s"/>
</actions></resource-agent>"""

_APC = """<resource-agent name="fence_apc" shortdesc="Fence agent for APC over telnet/ssh">
<parameters>
<parameter name="action" required="1"><content type="string" default="reboot"/></parameter>
<parameter name="ip" required="1"><content type="string"/></parameter>
<parameter name="plug" required="1"><content type="string"/></parameter>
<parameter name="username"><content type="string"/></parameter>
</parameters>
<actions>
<action name="on" automatic="0"/><action name="off"/><action name="reboot"/><action name="status"/>
<action name="monitor"/><action name="metadata"/><action name="manpage"/><action name="validate-all"/>
</actions></resource-agent>"""

_STATEFUL = """<resource-agent name="Stateful">
<parameters><parameter name="state"><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="20s"/></actions></resource-agent>"""

AGENTS: dict[str, AgentDocument] = {
    agent: document_of(agent, parse(text))
    for agent, text in {
        "ocf:heartbeat:apache": _APACHE,
        "ocf:acme:rocket": _ROCKET,
        "ocf:pacemaker:Stateful": _STATEFUL,
        "stonith:fence_apc": _APC,
        "systemd:postgresql": systemd.metadata("postgresql.service"),
        "systemd:rsyslog": systemd.metadata("rsyslog.service"),
    }.items()
}
