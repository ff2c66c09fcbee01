"""Where a configuration comes from and goes back to: a CIB file, or the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
from pydantic import ValidationError

from daemon.cli.author import author
from daemon.cli.call import CommandError
from daemon.cli.files import read_file, write_file
from daemon.control.client import ControlClient, RefusalError
from daemon.control.schema import Accepted, EditRequest
from daemon.model.cib import CibFile, read_cib
from daemon.model.configuration import Configuration
from daemon.model.findings import Refused, refuse_errors
from daemon.model.validation import validate


class Superseded(Exception):  # noqa: N818 - it is what happened to the edit
    """The configuration has moved on between reading and writing: load it and edit again."""


@dataclass(frozen=True)
class Loaded:
    """A configuration, and the epoch to name when an edit of it is stored."""

    configuration: Configuration
    epoch: int


class Source(Protocol):
    def load(self) -> Loaded:
        """Raises CommandError, ControlError or Refused."""

    def store(self, configuration: Configuration, base_epoch: int | None, comment: str) -> Accepted:
        """Replace what was loaded.  Raises Superseded and nothing has changed; Refused with all findings."""


class FileSource:
    """A file that `cluster cib FILE` wrote (`-f FILE`); stored in one step, no reader sees half of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._document = b""
        self._cib: CibFile | None = None

    def load(self) -> Loaded:
        self._document = read_file(self.path)
        self._cib = parsed(self._document, self.path)
        return Loaded(self._cib.configuration, self._cib.epoch)

    def document(self) -> bytes:
        """The CIB itself, once it is known to be one."""
        self.load()
        return self._document

    def store(self, configuration: Configuration, base_epoch: int | None, comment: str) -> Accepted:
        assert self._cib is not None, "loaded before it is stored"
        warnings = refuse_errors(validate(configuration))
        if read_file(self.path) != self._document:
            raise Superseded
        write_file(self.path, self._cib.edited(configuration))
        return Accepted(index=0, epoch=self._cib.epoch + 1, findings=warnings)


class DaemonSource:
    """The cluster, through the control socket of this host's daemon."""

    def __init__(self, client: ControlClient, environment: Mapping[str, str]) -> None:
        self._client = client
        self._environment = environment

    def load(self) -> Loaded:
        document = self._client.configuration()
        try:
            configuration = Configuration.model_validate_json(bytes(document.configuration))
        except ValidationError as error:
            raise CommandError(
                "the daemon's configuration has something that this vipcast does not know "
                f"({error.error_count()} problems): are both of the same version?"
            ) from error
        return Loaded(configuration, document.epoch)

    def store(self, configuration: Configuration, base_epoch: int | None, comment: str) -> Accepted:
        request = EditRequest(
            msgspec.Raw(configuration.model_dump_json().encode()), base_epoch, author(self._environment), comment
        )
        try:
            return self._client.replace_configuration(request)
        except RefusalError as error:
            if error.problem.code == "conflict":
                raise Superseded from error
            raise


def parsed(document: bytes, path: str) -> CibFile:
    """A CIB document, understood.  Raises CommandError naming the file, with everything that is wrong in it."""
    try:
        return read_cib(document)
    except Refused as error:
        raise CommandError(f"{path} is not a CIB that can be used", error.findings, "bad-cib") from error
