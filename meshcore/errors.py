"""The failures a request can end in, each with the gRPC status a client sees (docs/design.md, statuses)."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """gRPC status names, so that the core needs no gRPC."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"


class MeshError(Exception):
    """A request's end without an answer: ``code`` and the ``text`` that the client reads."""

    code = Code.INTERNAL

    def __init__(self, text: str, code: Code | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code or type(self).code

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MeshError):
            return NotImplemented
        return type(other) is type(self) and (other.code, other.text) == (self.code, self.text)

    def __hash__(self) -> int:
        return hash((type(self), self.code, self.text))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code}, {self.text!r})"


class InvalidRequest(MeshError):
    """The request itself is wrong; asking again cannot help."""

    code = Code.INVALID_ARGUMENT


class UnknownModel(MeshError):
    """No such registration."""

    code = Code.NOT_FOUND

    def __init__(self, text: str = "model not found") -> None:
        super().__init__(text)


class ModelExists(MeshError):
    """Another registration stands under the same id."""

    code = Code.ALREADY_EXISTS


class VModelExists(MeshError):
    """The virtual model is somebody else's."""

    code = Code.ALREADY_EXISTS


class Mismatch(MeshError):
    """The virtual model is not what the caller expected."""

    code = Code.FAILED_PRECONDITION


class Moved(MeshError):
    """The record is not at the revision that the caller expected."""

    code = Code.ABORTED


class ReadOnly(MeshError):
    """This instance leaves registrations as they are; the status is the one that clients of ModelMesh know."""

    code = Code.INTERNAL

    def __init__(self, text: str = "model-mesh is in read-only mode") -> None:
        super().__init__(text)


class HasReferents(MeshError):
    """A virtual model still points here."""

    code = Code.FAILED_PRECONDITION


class LoadFailure(MeshError):
    """The runtime, or the mesh before it, could not load the model."""


class ChurnRefused(LoadFailure):
    """Loading would evict models used only just now."""


class NoRoomYet(ChurnRefused):
    """Room for the model comes free only when a load under way has ended."""


class FellThrough(LoadFailure):
    """The model was used less recently than everything it would push out."""


class NeverFits(LoadFailure):
    """The model is larger than the instance."""


class CopyGone(MeshError):
    """The awaited copy is not to be had here any more: the request chooses again."""


class CopyNeeded(MeshError):
    """A copy that was to be given up is needed after all."""


class Declined(MeshError):
    """This instance has no room any more and knows of one that has."""


class NowhereToLoad(MeshError):
    """No instance is left that may load the model."""


class RoundsExhausted(MeshError):
    """The request went round as often as it may."""


class Spent(MeshError):
    """A try led nowhere, and what was sent is not kept for another one."""

    code = Code.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("the copy could not answer, and the request is larger than what is kept for another try")


class StoreAway(MeshError):
    """The registry's store does not answer."""

    code = Code.UNAVAILABLE


class PutBack(StoreAway):
    """The store denies what is known of it: it was put back to an earlier state, and has to be looked at anew."""


class Draining(MeshError):
    """This instance takes no new loads and nobody else is there."""

    code = Code.UNAVAILABLE


class Overrun(MeshError):
    """What was to be waited for goes on for longer; the status is the one that clients of ModelMesh know."""

    code = Code.UNKNOWN


class BadRecord(MeshError):
    """A record in the store cannot be read; ``text`` names its key and what is wrong."""

    code = Code.FAILED_PRECONDITION
