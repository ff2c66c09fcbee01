"""How a host that has only a token comes by the cluster's key and settings.

`token`     the line that `vipcast cluster token` prints and `vipcast cluster join` takes
`exchange`  the four datagrams between the two, and the keys that seal them
`desk`      the side of the daemon that printed the token
`applicant` the side of the host that joins

All of it is pure: time and randomness are arguments, datagrams go in and come out.
docs/decisions/0011-joining.md has the reasons.
"""
