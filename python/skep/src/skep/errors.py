"""What can go wrong, with what to do about it."""

from __future__ import annotations


class SkepError(Exception):
    """Any error of this package."""


class IdentityError(SkepError):
    """There are no credentials for the master."""


class UnreachableError(SkepError):
    """No master answers; trying again may help."""


class CallError(SkepError):
    """The master did not take a request: nothing of it was done."""

    def __init__(self, status: int, kind: str, field: str, why: str, hint: str) -> None:
        place = f"{field}: " if field else ""
        super().__init__(f"{place}{why} ({hint})" if hint else f"{place}{why}")
        #: The HTTP status.
        self.status = status
        #: One word for programs.
        self.kind = kind
        #: Which field of the request.
        self.field = field
        #: What is wrong with it.
        self.why = why
        #: What to do.
        self.hint = hint
