"""A record while its batch is filled: changed step by step in one chain or one replay, then a record again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from reconciler.core.states.journal import Staged, Uploaded, Uploading

if TYPE_CHECKING:
    from reconciler.core.batch import File, Record
    from reconciler.core.states.journal import Step


class Progress:
    """What AEP holds of one batch, step by step; the same step taken twice changes nothing."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._files = {file.name: file for file in record.files}
        self._begun = {file.name: file for file in record.begun}
        self.stage = record.stage

    def take(self, step: Step) -> None:
        """Take one more step into account."""
        match step:
            case Uploading(file=file):
                self._files.pop(file.name, None)
                self._begun[file.name] = file
            case Uploaded(file=file):
                self._begun.pop(file.name, None)
                self._files[file.name] = file
            case Staged(stage=stage):
                self.stage = stage
            case _:
                assert_never(step)

    def held(self, name: str) -> File | None:
        """The file of this name that AEP has confirmed to hold."""
        return self._files.get(name)

    def is_begun(self, file: File) -> bool:
        """Whether the same bytes were sent before, and perhaps not to their end."""
        return self._begun.get(file.name) == file

    def record(self) -> Record:
        """The record as it is now."""
        files = tuple([self._files[name] for name in sorted(self._files)])
        begun = tuple([self._begun[name] for name in sorted(self._begun)])
        return replace(self._record, files=files, begun=begun, stage=self.stage)
