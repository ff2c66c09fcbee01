"""Edits: pure functions from one configuration to the next, with the semantics of the pcs commands of that name.

A file per noun.  Each takes the configuration first and everything else by name, returns the new configuration, or
raises `daemon.model.findings.Refused` with every reason; then nothing has changed.  What an edit did is told by
`daemon.model.changes.describe_change(old, new)`.
"""
