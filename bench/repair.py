"""How long what others have changed on a host stays so: from the change until the kernel shows again what it showed.

Whole daemons, an engine of each kind.  The look itself takes some tens of milliseconds, which are in the figures.
"""

from __future__ import annotations

from bench.report import Figure, Report, heading
from tests.lab import Lab
from tests.lab.host import Host
from tests.lab.service import ADDRESS, share_address

ENGINES = {"a1": "nft", "a2": "raw", "a3": "bpf"}
SLOTS = 6
GOAL_MS = 1000.0
BOUND_S = 10

FLUSH = "nft flush ruleset"
RESET = (
    "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0 net.ipv4.conf.all.arp_announce=0"
    " net.ipv4.conf.eth0.arp_announce=0 net.ipv4.conf.eth0.drop_unicast_in_l2_multicast=0"
)
UNHOOK = "tc qdisc del dev eth0 clsact 2>/dev/null || true"
DAMAGES = {
    "all rules are flushed": FLUSH,
    "settings are reset": RESET,
    "the address is deleted": f"ip address del {ADDRESS}/32 dev $(ip -o address show to {ADDRESS} | cut -d' ' -f2)",
    "everything of these at once": f"{FLUSH}; {RESET}; {UNHOOK}",
}
OF_ONE_ENGINE = {
    "bpf": {"the hook of tc is deleted": UNHOOK},
    "raw": {"the TUN device is deleted": "ip link delete vipraw"},
}
SETTINGS = " ".join(part.partition("=")[0] for part in RESET.split()[2:])
SCRIPT = f"""
look() {{{{
    {{{{
        nft list chains 2>/dev/null
        tc filter show dev eth0 ingress | grep -o 'vip_[a-z]*'
        ip -o -4 address show | cut -d' ' -f2-9
        sysctl {SETTINGS}
    }}}} | sort
}}}}
before=$(look)
{{damage}}
began=$(date +%s%N)
end=$((SECONDS + {BOUND_S}))
while [ $SECONDS -lt $end ]; do
    if [ "$(look)" = "$before" ]; then echo $(($(date +%s%N) - began)); exit 0; fi
done
diff <(echo "$before") <(look) >&2
exit 1
"""


def measure(report: Report, runs: int) -> None:
    heading("What others change on a host is as it was after")
    with Lab(hosts=len(ENGINES), engine=ENGINES) as lab:
        lab.start_daemons()
        lab.await_cluster()
        share_address(lab, slots=SLOTS)
        for name, engine in ENGINES.items():
            for what, damage in (DAMAGES | OF_ONE_ENGINE.get(engine, {})).items():
                samples = tuple(repaired_ms(lab[name], damage) for _ in range(runs))
                report.add(Figure(f"{engine}: {what}", "ms", samples, goal=GOAL_MS))


def repaired_ms(host: Host, damage: str) -> float:
    return int(host.shell(SCRIPT.format(damage=damage)).check().stdout) / 1e6
