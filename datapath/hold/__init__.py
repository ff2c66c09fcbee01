"""SYNs that arrive while a slot changes hands: noted by the old owner, held by the new one, answered once.

Two hosts see packets in different orders, so no timing decides whose a SYN is; arithmetic with sets does.  What the
old owner has taken it tells the new one, which refuses just that, and takes in what it held and neither has taken.
docs/decisions/0016-held-syns.md has the protocol, daemon/executor/holds.py the hosts' part of it.
"""
