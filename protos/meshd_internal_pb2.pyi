# mypy: disable-error-code="type-arg"
from protos import meshd_pb2 as _meshd_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HelloRequest(_message.Message):
    __slots__ = ("protocol", "instance", "version", "start_ms")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    instance: str
    version: str
    start_ms: int
    def __init__(self, protocol: _Optional[int] = ..., instance: _Optional[str] = ..., version: _Optional[str] = ..., start_ms: _Optional[int] = ...) -> None: ...

class HelloResponse(_message.Message):
    __slots__ = ("protocol", "instance", "version", "start_ms", "phase")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    instance: str
    version: str
    start_ms: int
    phase: str
    def __init__(self, protocol: _Optional[int] = ..., instance: _Optional[str] = ..., version: _Optional[str] = ..., start_ms: _Optional[int] = ..., phase: _Optional[str] = ...) -> None: ...

class Tried(_message.Message):
    __slots__ = ("instance", "load_ts")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    load_ts: int
    def __init__(self, instance: _Optional[str] = ..., load_ts: _Optional[int] = ...) -> None: ...

class EnsureLoadedRequest(_message.Message):
    __slots__ = ("protocol", "model", "kind", "sync", "last_used_ms", "tried", "tried_targets", "exclude", "size_units", "origin", "only_status", "hops", "copies", "unasked")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[EnsureLoadedRequest.Kind]
        HIT: _ClassVar[EnsureLoadedRequest.Kind]
        LOAD: _ClassVar[EnsureLoadedRequest.Kind]
    KIND_UNSPECIFIED: EnsureLoadedRequest.Kind
    HIT: EnsureLoadedRequest.Kind
    LOAD: EnsureLoadedRequest.Kind
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_MS_FIELD_NUMBER: _ClassVar[int]
    TRIED_FIELD_NUMBER: _ClassVar[int]
    TRIED_TARGETS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    SIZE_UNITS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    ONLY_STATUS_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    UNASKED_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    model: str
    kind: EnsureLoadedRequest.Kind
    sync: bool
    last_used_ms: int
    tried: _containers.RepeatedCompositeFieldContainer[Tried]
    tried_targets: _containers.RepeatedScalarFieldContainer[str]
    exclude: _containers.RepeatedScalarFieldContainer[str]
    size_units: int
    origin: str
    only_status: bool
    hops: int
    copies: int
    unasked: bool
    def __init__(self, protocol: _Optional[int] = ..., model: _Optional[str] = ..., kind: _Optional[_Union[EnsureLoadedRequest.Kind, str]] = ..., sync: bool = ..., last_used_ms: _Optional[int] = ..., tried: _Optional[_Iterable[_Union[Tried, _Mapping]]] = ..., tried_targets: _Optional[_Iterable[str]] = ..., exclude: _Optional[_Iterable[str]] = ..., size_units: _Optional[int] = ..., origin: _Optional[str] = ..., only_status: bool = ..., hops: _Optional[int] = ..., copies: _Optional[int] = ..., unasked: bool = ...) -> None: ...

class EnsureLoadedResponse(_message.Message):
    __slots__ = ("outcome", "verdict")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    outcome: Outcome
    verdict: Verdict
    def __init__(self, outcome: _Optional[_Union[Outcome, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("status", "errors", "instance", "load_ts", "accepted")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    status: _meshd_pb2.Model.Status
    errors: _containers.RepeatedScalarFieldContainer[str]
    instance: str
    load_ts: int
    accepted: int
    def __init__(self, status: _Optional[_Union[_meshd_pb2.Model.Status, str]] = ..., errors: _Optional[_Iterable[str]] = ..., instance: _Optional[str] = ..., load_ts: _Optional[int] = ..., accepted: _Optional[int] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("kind", "instance", "load_ts", "gen", "accepted", "record", "code", "text")
    KIND_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TS_FIELD_NUMBER: _ClassVar[int]
    GEN_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    instance: str
    load_ts: int
    gen: int
    accepted: int
    record: bytes
    code: int
    text: str
    def __init__(self, kind: _Optional[str] = ..., instance: _Optional[str] = ..., load_ts: _Optional[int] = ..., gen: _Optional[int] = ..., accepted: _Optional[int] = ..., record: _Optional[bytes] = ..., code: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("protocol", "with_copies", "page_size", "page_token", "most_used")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    WITH_COPIES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MOST_USED_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    with_copies: bool
    page_size: int
    page_token: str
    most_used: bool
    def __init__(self, protocol: _Optional[int] = ..., with_copies: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., most_used: bool = ...) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("instance", "accepted", "copies", "next_page_token", "usage", "total")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    instance: _meshd_pb2.Instance
    accepted: int
    copies: _containers.RepeatedCompositeFieldContainer[HeldCopy]
    next_page_token: str
    usage: _meshd_pb2.UsageReport
    total: int
    def __init__(self, instance: _Optional[_Union[_meshd_pb2.Instance, _Mapping]] = ..., accepted: _Optional[int] = ..., copies: _Optional[_Iterable[_Union[HeldCopy, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., usage: _Optional[_Union[_meshd_pb2.UsageReport, _Mapping]] = ..., total: _Optional[int] = ...) -> None: ...

class HeldCopy(_message.Message):
    __slots__ = ("model", "state", "load_ts", "gen", "size_units", "last_used_ms", "in_flight", "queued", "requests_per_minute")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TS_FIELD_NUMBER: _ClassVar[int]
    GEN_FIELD_NUMBER: _ClassVar[int]
    SIZE_UNITS_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_MS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    model: str
    state: str
    load_ts: int
    gen: int
    size_units: int
    last_used_ms: int
    in_flight: int
    queued: int
    requests_per_minute: int
    def __init__(self, model: _Optional[str] = ..., state: _Optional[str] = ..., load_ts: _Optional[int] = ..., gen: _Optional[int] = ..., size_units: _Optional[int] = ..., last_used_ms: _Optional[int] = ..., in_flight: _Optional[int] = ..., queued: _Optional[int] = ..., requests_per_minute: _Optional[int] = ...) -> None: ...
