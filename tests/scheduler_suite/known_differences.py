"""Cases in which we place otherwise than the peer, each with the reason.  A case that passes must not be listed."""

KNOWN: dict[str, str] = {}
