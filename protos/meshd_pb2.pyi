# mypy: disable-error-code="type-arg"
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_KIND_UNSPECIFIED: _ClassVar[ChangeKind]
    PUT: _ClassVar[ChangeKind]
    REMOVED: _ClassVar[ChangeKind]
CHANGE_KIND_UNSPECIFIED: ChangeKind
PUT: ChangeKind
REMOVED: ChangeKind

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("version", "instance", "service", "data_plane", "start_ms", "store", "store_available", "revision", "leader", "phase", "read_only", "methods")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    DATA_PLANE_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    STORE_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    version: str
    instance: str
    service: str
    data_plane: str
    start_ms: int
    store: str
    store_available: bool
    revision: int
    leader: str
    phase: str
    read_only: bool
    methods: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[str] = ..., instance: _Optional[str] = ..., service: _Optional[str] = ..., data_plane: _Optional[str] = ..., start_ms: _Optional[int] = ..., store: _Optional[str] = ..., store_available: bool = ..., revision: _Optional[int] = ..., leader: _Optional[str] = ..., phase: _Optional[str] = ..., read_only: bool = ..., methods: _Optional[_Iterable[str]] = ...) -> None: ...

class ModelSpec(_message.Message):
    __slots__ = ("name", "type", "path", "key", "size_bytes", "labels", "min_copies", "max_copies", "pinned", "priority")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    MIN_COPIES_FIELD_NUMBER: _ClassVar[int]
    MAX_COPIES_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    path: str
    key: str
    size_bytes: int
    labels: _containers.ScalarMap[str, str]
    min_copies: int
    max_copies: int
    pinned: bool
    priority: int
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., path: _Optional[str] = ..., key: _Optional[str] = ..., size_bytes: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., min_copies: _Optional[int] = ..., max_copies: _Optional[int] = ..., pinned: bool = ..., priority: _Optional[int] = ...) -> None: ...

class Copy(_message.Message):
    __slots__ = ("instance", "load_ts_ms", "state")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Copy.State]
        LOADING: _ClassVar[Copy.State]
        LOADED: _ClassVar[Copy.State]
    STATE_UNSPECIFIED: Copy.State
    LOADING: Copy.State
    LOADED: Copy.State
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TS_MS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    load_ts_ms: int
    state: Copy.State
    def __init__(self, instance: _Optional[str] = ..., load_ts_ms: _Optional[int] = ..., state: _Optional[_Union[Copy.State, str]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("instance", "at_ms", "text")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    instance: str
    at_ms: int
    text: str
    def __init__(self, instance: _Optional[str] = ..., at_ms: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("spec", "status", "copies", "failures", "last_used_ms", "last_unload_ms", "references", "auto_delete", "revision", "unsatisfied")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NOT_FOUND: _ClassVar[Model.Status]
        NOT_LOADED: _ClassVar[Model.Status]
        LOADING: _ClassVar[Model.Status]
        LOADED: _ClassVar[Model.Status]
        LOADING_FAILED: _ClassVar[Model.Status]
        UNKNOWN: _ClassVar[Model.Status]
    NOT_FOUND: Model.Status
    NOT_LOADED: Model.Status
    LOADING: Model.Status
    LOADED: Model.Status
    LOADING_FAILED: Model.Status
    UNKNOWN: Model.Status
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_UNLOAD_MS_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    AUTO_DELETE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UNSATISFIED_FIELD_NUMBER: _ClassVar[int]
    spec: ModelSpec
    status: Model.Status
    copies: _containers.RepeatedCompositeFieldContainer[Copy]
    failures: _containers.RepeatedCompositeFieldContainer[Failure]
    last_used_ms: int
    last_unload_ms: int
    references: int
    auto_delete: bool
    revision: int
    unsatisfied: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, spec: _Optional[_Union[ModelSpec, _Mapping]] = ..., status: _Optional[_Union[Model.Status, str]] = ..., copies: _Optional[_Iterable[_Union[Copy, _Mapping]]] = ..., failures: _Optional[_Iterable[_Union[Failure, _Mapping]]] = ..., last_used_ms: _Optional[int] = ..., last_unload_ms: _Optional[int] = ..., references: _Optional[int] = ..., auto_delete: bool = ..., revision: _Optional[int] = ..., unsatisfied: _Optional[_Iterable[str]] = ...) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("model", "load", "last_used_ms", "expected_revision", "dry_run")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_MS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    model: ModelSpec
    load: bool
    last_used_ms: int
    expected_revision: int
    dry_run: bool
    def __init__(self, model: _Optional[_Union[ModelSpec, _Mapping]] = ..., load: bool = ..., last_used_ms: _Optional[int] = ..., expected_revision: _Optional[int] = ..., dry_run: bool = ...) -> None: ...

class RegisterResult(_message.Message):
    __slots__ = ("name", "code", "text", "created", "changed", "status", "revision", "index")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    name: str
    code: int
    text: str
    created: bool
    changed: bool
    status: Model.Status
    revision: int
    index: int
    def __init__(self, name: _Optional[str] = ..., code: _Optional[int] = ..., text: _Optional[str] = ..., created: bool = ..., changed: bool = ..., status: _Optional[_Union[Model.Status, str]] = ..., revision: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class UnregisterRequest(_message.Message):
    __slots__ = ("name", "expected_revision", "dry_run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REVISION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    expected_revision: int
    dry_run: bool
    def __init__(self, name: _Optional[str] = ..., expected_revision: _Optional[int] = ..., dry_run: bool = ...) -> None: ...

class UnregisterResult(_message.Message):
    __slots__ = ("name", "code", "text", "existed", "index")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    name: str
    code: int
    text: str
    existed: bool
    index: int
    def __init__(self, name: _Optional[str] = ..., code: _Optional[int] = ..., text: _Optional[str] = ..., existed: bool = ..., index: _Optional[int] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ModelFilter(_message.Message):
    __slots__ = ("type", "status", "instance", "labels", "name_prefix")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    type: str
    status: _containers.RepeatedScalarFieldContainer[Model.Status]
    instance: str
    labels: _containers.ScalarMap[str, str]
    name_prefix: str
    def __init__(self, type: _Optional[str] = ..., status: _Optional[_Iterable[_Union[Model.Status, str]]] = ..., instance: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., name_prefix: _Optional[str] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: ModelFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[ModelFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token", "revision", "total")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    revision: int
    total: int
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class WatchModelsRequest(_message.Message):
    __slots__ = ("filter", "from_revision")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FROM_REVISION_FIELD_NUMBER: _ClassVar[int]
    filter: ModelFilter
    from_revision: int
    def __init__(self, filter: _Optional[_Union[ModelFilter, _Mapping]] = ..., from_revision: _Optional[int] = ...) -> None: ...

class ModelChange(_message.Message):
    __slots__ = ("kind", "model")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    kind: ChangeKind
    model: Model
    def __init__(self, kind: _Optional[_Union[ChangeKind, str]] = ..., model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class WatchModelsResponse(_message.Message):
    __slots__ = ("revision", "changes", "more")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    revision: int
    changes: _containers.RepeatedCompositeFieldContainer[ModelChange]
    more: bool
    def __init__(self, revision: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[ModelChange, _Mapping]]] = ..., more: bool = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("id", "is_java", "address", "grpc", "http", "location", "zone", "labels", "version", "phase", "start_ms", "lru_ms", "models", "capacity_bytes", "used_bytes", "load_threads", "loads_in_progress", "rpm", "shutting_down", "data_plane", "replica_set", "cordoned", "revision", "lost_bytes", "now", "silent")
    ID_FIELD_NUMBER: _ClassVar[int]
    IS_JAVA_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    GRPC_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    START_MS_FIELD_NUMBER: _ClassVar[int]
    LRU_MS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOAD_THREADS_FIELD_NUMBER: _ClassVar[int]
    LOADS_IN_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RPM_FIELD_NUMBER: _ClassVar[int]
    SHUTTING_DOWN_FIELD_NUMBER: _ClassVar[int]
    DATA_PLANE_FIELD_NUMBER: _ClassVar[int]
    REPLICA_SET_FIELD_NUMBER: _ClassVar[int]
    CORDONED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LOST_BYTES_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    is_java: bool
    address: str
    grpc: str
    http: str
    location: str
    zone: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    version: str
    phase: str
    start_ms: int
    lru_ms: int
    models: int
    capacity_bytes: int
    used_bytes: int
    load_threads: int
    loads_in_progress: int
    rpm: int
    shutting_down: bool
    data_plane: str
    replica_set: str
    cordoned: bool
    revision: int
    lost_bytes: int
    now: InstanceNow
    silent: bool
    def __init__(self, id: _Optional[str] = ..., is_java: bool = ..., address: _Optional[str] = ..., grpc: _Optional[str] = ..., http: _Optional[str] = ..., location: _Optional[str] = ..., zone: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., phase: _Optional[str] = ..., start_ms: _Optional[int] = ..., lru_ms: _Optional[int] = ..., models: _Optional[int] = ..., capacity_bytes: _Optional[int] = ..., used_bytes: _Optional[int] = ..., load_threads: _Optional[int] = ..., loads_in_progress: _Optional[int] = ..., rpm: _Optional[int] = ..., shutting_down: bool = ..., data_plane: _Optional[str] = ..., replica_set: _Optional[str] = ..., cordoned: bool = ..., revision: _Optional[int] = ..., lost_bytes: _Optional[int] = ..., now: _Optional[_Union[InstanceNow, _Mapping]] = ..., silent: bool = ...) -> None: ...

class InstanceNow(_message.Message):
    __slots__ = ("seen_revision", "requests_per_minute", "load_timeout_ms", "store_away", "leader", "going_until_ms")
    SEEN_REVISION_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    STORE_AWAY_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    GOING_UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    seen_revision: int
    requests_per_minute: int
    load_timeout_ms: int
    store_away: bool
    leader: str
    going_until_ms: int
    def __init__(self, seen_revision: _Optional[int] = ..., requests_per_minute: _Optional[int] = ..., load_timeout_ms: _Optional[int] = ..., store_away: bool = ..., leader: _Optional[str] = ..., going_until_ms: _Optional[int] = ...) -> None: ...

class ListInstancesRequest(_message.Message):
    __slots__ = ("ask",)
    ASK_FIELD_NUMBER: _ClassVar[int]
    ask: bool
    def __init__(self, ask: bool = ...) -> None: ...

class ListInstancesResponse(_message.Message):
    __slots__ = ("instances", "revision")
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[Instance]
    revision: int
    def __init__(self, instances: _Optional[_Iterable[_Union[Instance, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class WatchInstancesRequest(_message.Message):
    __slots__ = ("from_revision",)
    FROM_REVISION_FIELD_NUMBER: _ClassVar[int]
    from_revision: int
    def __init__(self, from_revision: _Optional[int] = ...) -> None: ...

class InstanceChange(_message.Message):
    __slots__ = ("kind", "instance")
    KIND_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    kind: ChangeKind
    instance: Instance
    def __init__(self, kind: _Optional[_Union[ChangeKind, str]] = ..., instance: _Optional[_Union[Instance, _Mapping]] = ...) -> None: ...

class ListCopiesRequest(_message.Message):
    __slots__ = ("instance", "most")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    instance: str
    most: int
    def __init__(self, instance: _Optional[str] = ..., most: _Optional[int] = ...) -> None: ...

class HeldCopy(_message.Message):
    __slots__ = ("model", "state", "load_ts_ms", "size_bytes", "last_used_ms", "in_flight", "queued", "requests_per_minute")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TS_MS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_MS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    model: str
    state: str
    load_ts_ms: int
    size_bytes: int
    last_used_ms: int
    in_flight: int
    queued: int
    requests_per_minute: int
    def __init__(self, model: _Optional[str] = ..., state: _Optional[str] = ..., load_ts_ms: _Optional[int] = ..., size_bytes: _Optional[int] = ..., last_used_ms: _Optional[int] = ..., in_flight: _Optional[int] = ..., queued: _Optional[int] = ..., requests_per_minute: _Optional[int] = ...) -> None: ...

class ListCopiesResponse(_message.Message):
    __slots__ = ("copies", "total")
    COPIES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    copies: _containers.RepeatedCompositeFieldContainer[HeldCopy]
    total: int
    def __init__(self, copies: _Optional[_Iterable[_Union[HeldCopy, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class CensusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CensusResponse(_message.Message):
    __slots__ = ("registered", "loaded", "loading", "failed", "unreadable", "stuck", "short", "failed_models", "stuck_loads", "short_models", "gone", "at_ms", "copies", "revision")
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    LOADING_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    STUCK_FIELD_NUMBER: _ClassVar[int]
    SHORT_FIELD_NUMBER: _ClassVar[int]
    FAILED_MODELS_FIELD_NUMBER: _ClassVar[int]
    STUCK_LOADS_FIELD_NUMBER: _ClassVar[int]
    SHORT_MODELS_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    registered: int
    loaded: int
    loading: int
    failed: int
    unreadable: int
    stuck: int
    short: int
    failed_models: _containers.RepeatedCompositeFieldContainer[FailedModel]
    stuck_loads: _containers.RepeatedCompositeFieldContainer[StuckLoad]
    short_models: _containers.RepeatedCompositeFieldContainer[ShortModel]
    gone: _containers.RepeatedCompositeFieldContainer[GoneInstance]
    at_ms: int
    copies: int
    revision: int
    def __init__(self, registered: _Optional[int] = ..., loaded: _Optional[int] = ..., loading: _Optional[int] = ..., failed: _Optional[int] = ..., unreadable: _Optional[int] = ..., stuck: _Optional[int] = ..., short: _Optional[int] = ..., failed_models: _Optional[_Iterable[_Union[FailedModel, _Mapping]]] = ..., stuck_loads: _Optional[_Iterable[_Union[StuckLoad, _Mapping]]] = ..., short_models: _Optional[_Iterable[_Union[ShortModel, _Mapping]]] = ..., gone: _Optional[_Iterable[_Union[GoneInstance, _Mapping]]] = ..., at_ms: _Optional[int] = ..., copies: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class FailedModel(_message.Message):
    __slots__ = ("model", "instance", "at_ms", "text")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    model: str
    instance: str
    at_ms: int
    text: str
    def __init__(self, model: _Optional[str] = ..., instance: _Optional[str] = ..., at_ms: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class StuckLoad(_message.Message):
    __slots__ = ("model", "instance", "since_ms")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    model: str
    instance: str
    since_ms: int
    def __init__(self, model: _Optional[str] = ..., instance: _Optional[str] = ..., since_ms: _Optional[int] = ...) -> None: ...

class ShortModel(_message.Message):
    __slots__ = ("model", "copies", "min_copies")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    MIN_COPIES_FIELD_NUMBER: _ClassVar[int]
    model: str
    copies: int
    min_copies: int
    def __init__(self, model: _Optional[str] = ..., copies: _Optional[int] = ..., min_copies: _Optional[int] = ...) -> None: ...

class GoneInstance(_message.Message):
    __slots__ = ("instance", "models")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    models: int
    def __init__(self, instance: _Optional[str] = ..., models: _Optional[int] = ...) -> None: ...

class WatchInstancesResponse(_message.Message):
    __slots__ = ("revision", "changes", "more")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    revision: int
    changes: _containers.RepeatedCompositeFieldContainer[InstanceChange]
    more: bool
    def __init__(self, revision: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[InstanceChange, _Mapping]]] = ..., more: bool = ...) -> None: ...

class VModel(_message.Message):
    __slots__ = ("name", "owner", "active", "target", "status", "active_status", "target_status", "revision", "split", "next", "shadow")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NOT_FOUND: _ClassVar[VModel.Status]
        DEFINED: _ClassVar[VModel.Status]
        TRANSITIONING: _ClassVar[VModel.Status]
        TRANSITION_FAILED: _ClassVar[VModel.Status]
        UNKNOWN: _ClassVar[VModel.Status]
    NOT_FOUND: VModel.Status
    DEFINED: VModel.Status
    TRANSITIONING: VModel.Status
    TRANSITION_FAILED: VModel.Status
    UNKNOWN: VModel.Status
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_STATUS_FIELD_NUMBER: _ClassVar[int]
    TARGET_STATUS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    name: str
    owner: str
    active: str
    target: str
    status: VModel.Status
    active_status: Model.Status
    target_status: Model.Status
    revision: int
    split: _containers.RepeatedCompositeFieldContainer[WeightedModel]
    next: _containers.RepeatedCompositeFieldContainer[WeightedModel]
    shadow: str
    def __init__(self, name: _Optional[str] = ..., owner: _Optional[str] = ..., active: _Optional[str] = ..., target: _Optional[str] = ..., status: _Optional[_Union[VModel.Status, str]] = ..., active_status: _Optional[_Union[Model.Status, str]] = ..., target_status: _Optional[_Union[Model.Status, str]] = ..., revision: _Optional[int] = ..., split: _Optional[_Iterable[_Union[WeightedModel, _Mapping]]] = ..., next: _Optional[_Iterable[_Union[WeightedModel, _Mapping]]] = ..., shadow: _Optional[str] = ...) -> None: ...

class WeightedModel(_message.Message):
    __slots__ = ("model", "weight")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    model: str
    weight: int
    def __init__(self, model: _Optional[str] = ..., weight: _Optional[int] = ...) -> None: ...

class SetVModelRequest(_message.Message):
    __slots__ = ("name", "targets", "shadow", "owner", "update_only", "expected_target", "force", "load", "sync", "dry_run")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_TARGET_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    name: str
    targets: _containers.RepeatedCompositeFieldContainer[WeightedModel]
    shadow: str
    owner: str
    update_only: bool
    expected_target: str
    force: bool
    load: bool
    sync: bool
    dry_run: bool
    def __init__(self, name: _Optional[str] = ..., targets: _Optional[_Iterable[_Union[WeightedModel, _Mapping]]] = ..., shadow: _Optional[str] = ..., owner: _Optional[str] = ..., update_only: bool = ..., expected_target: _Optional[str] = ..., force: bool = ..., load: bool = ..., sync: bool = ..., dry_run: bool = ...) -> None: ...

class VModelFilter(_message.Message):
    __slots__ = ("name_prefix", "owner", "model", "status")
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    name_prefix: str
    owner: str
    model: str
    status: _containers.RepeatedScalarFieldContainer[VModel.Status]
    def __init__(self, name_prefix: _Optional[str] = ..., owner: _Optional[str] = ..., model: _Optional[str] = ..., status: _Optional[_Iterable[_Union[VModel.Status, str]]] = ...) -> None: ...

class ListVModelsRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: VModelFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[VModelFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVModelsResponse(_message.Message):
    __slots__ = ("vmodels", "next_page_token", "revision", "total")
    VMODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    vmodels: _containers.RepeatedCompositeFieldContainer[VModel]
    next_page_token: str
    revision: int
    total: int
    def __init__(self, vmodels: _Optional[_Iterable[_Union[VModel, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class WatchVModelsRequest(_message.Message):
    __slots__ = ("filter", "from_revision")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FROM_REVISION_FIELD_NUMBER: _ClassVar[int]
    filter: VModelFilter
    from_revision: int
    def __init__(self, filter: _Optional[_Union[VModelFilter, _Mapping]] = ..., from_revision: _Optional[int] = ...) -> None: ...

class VModelChange(_message.Message):
    __slots__ = ("kind", "vmodel")
    KIND_FIELD_NUMBER: _ClassVar[int]
    VMODEL_FIELD_NUMBER: _ClassVar[int]
    kind: ChangeKind
    vmodel: VModel
    def __init__(self, kind: _Optional[_Union[ChangeKind, str]] = ..., vmodel: _Optional[_Union[VModel, _Mapping]] = ...) -> None: ...

class WatchVModelsResponse(_message.Message):
    __slots__ = ("revision", "changes", "more")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    revision: int
    changes: _containers.RepeatedCompositeFieldContainer[VModelChange]
    more: bool
    def __init__(self, revision: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[VModelChange, _Mapping]]] = ..., more: bool = ...) -> None: ...

class UsageRequest(_message.Message):
    __slots__ = ("filter", "instances", "interval_ms", "top")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    filter: ModelFilter
    instances: _containers.RepeatedScalarFieldContainer[str]
    interval_ms: int
    top: int
    def __init__(self, filter: _Optional[_Union[ModelFilter, _Mapping]] = ..., instances: _Optional[_Iterable[str]] = ..., interval_ms: _Optional[int] = ..., top: _Optional[int] = ...) -> None: ...

class ModelUsage(_message.Message):
    __slots__ = ("model", "requests", "failed", "last_used_ms", "service_us", "wait_us", "in_flight", "queued", "peak", "transferred_bytes", "size_bytes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_MS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_US_FIELD_NUMBER: _ClassVar[int]
    WAIT_US_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    PEAK_FIELD_NUMBER: _ClassVar[int]
    TRANSFERRED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    model: str
    requests: int
    failed: int
    last_used_ms: int
    service_us: int
    wait_us: int
    in_flight: int
    queued: int
    peak: int
    transferred_bytes: int
    size_bytes: int
    def __init__(self, model: _Optional[str] = ..., requests: _Optional[int] = ..., failed: _Optional[int] = ..., last_used_ms: _Optional[int] = ..., service_us: _Optional[int] = ..., wait_us: _Optional[int] = ..., in_flight: _Optional[int] = ..., queued: _Optional[int] = ..., peak: _Optional[int] = ..., transferred_bytes: _Optional[int] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class UsageReport(_message.Message):
    __slots__ = ("instance", "at_ms", "interval_ms", "models", "total", "unreachable")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    at_ms: int
    interval_ms: int
    models: _containers.RepeatedCompositeFieldContainer[ModelUsage]
    total: ModelUsage
    unreachable: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instance: _Optional[str] = ..., at_ms: _Optional[int] = ..., interval_ms: _Optional[int] = ..., models: _Optional[_Iterable[_Union[ModelUsage, _Mapping]]] = ..., total: _Optional[_Union[ModelUsage, _Mapping]] = ..., unreachable: _Optional[_Iterable[str]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("whole", "number", "text")
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    whole: int
    number: float
    text: str
    def __init__(self, whole: _Optional[int] = ..., number: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("id", "score", "rejected")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    id: str
    score: _containers.RepeatedScalarFieldContainer[str]
    rejected: str
    def __init__(self, id: _Optional[str] = ..., score: _Optional[_Iterable[str]] = ..., rejected: _Optional[str] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("seq", "at_ms", "rule", "model", "chosen", "view_revision", "cause", "inputs", "candidates", "more", "instance")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    SEQ_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    VIEW_REVISION_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    seq: int
    at_ms: int
    rule: str
    model: str
    chosen: str
    view_revision: int
    cause: str
    inputs: _containers.MessageMap[str, Value]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    more: int
    instance: str
    def __init__(self, seq: _Optional[int] = ..., at_ms: _Optional[int] = ..., rule: _Optional[str] = ..., model: _Optional[str] = ..., chosen: _Optional[str] = ..., view_revision: _Optional[int] = ..., cause: _Optional[str] = ..., inputs: _Optional[_Mapping[str, Value]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., more: _Optional[int] = ..., instance: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("model", "vmodel", "reasons", "unreachable", "now", "copies", "failures", "last_eviction", "last_wait", "java", "vmodels", "next")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VMODEL_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LAST_EVICTION_FIELD_NUMBER: _ClassVar[int]
    LAST_WAIT_FIELD_NUMBER: _ClassVar[int]
    JAVA_FIELD_NUMBER: _ClassVar[int]
    VMODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    model: Model
    vmodel: VModel
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    unreachable: _containers.RepeatedScalarFieldContainer[str]
    now: Outlook
    copies: _containers.RepeatedCompositeFieldContainer[CopyAccount]
    failures: _containers.RepeatedCompositeFieldContainer[FailureAccount]
    last_eviction: Reason
    last_wait: Reason
    java: _containers.RepeatedScalarFieldContainer[str]
    vmodels: _containers.RepeatedScalarFieldContainer[str]
    next: ExplainResponse
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ..., vmodel: _Optional[_Union[VModel, _Mapping]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., unreachable: _Optional[_Iterable[str]] = ..., now: _Optional[_Union[Outlook, _Mapping]] = ..., copies: _Optional[_Iterable[_Union[CopyAccount, _Mapping]]] = ..., failures: _Optional[_Iterable[_Union[FailureAccount, _Mapping]]] = ..., last_eviction: _Optional[_Union[Reason, _Mapping]] = ..., last_wait: _Optional[_Union[Reason, _Mapping]] = ..., java: _Optional[_Iterable[str]] = ..., vmodels: _Optional[_Iterable[str]] = ..., next: _Optional[_Union[ExplainResponse, _Mapping]] = ...) -> None: ...

class Outlook(_message.Message):
    __slots__ = ("instance", "action", "instances", "since_ms", "code", "text", "placement", "evicts")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[Outlook.Action]
        ANSWERED: _ClassVar[Outlook.Action]
        FORWARDED: _ClassVar[Outlook.Action]
        WAITS: _ClassVar[Outlook.Action]
        LOADED: _ClassVar[Outlook.Action]
        REFUSED: _ClassVar[Outlook.Action]
    ACTION_UNSPECIFIED: Outlook.Action
    ANSWERED: Outlook.Action
    FORWARDED: Outlook.Action
    WAITS: Outlook.Action
    LOADED: Outlook.Action
    REFUSED: Outlook.Action
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    EVICTS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    action: Outlook.Action
    instances: _containers.RepeatedScalarFieldContainer[str]
    since_ms: int
    code: str
    text: str
    placement: Reason
    evicts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instance: _Optional[str] = ..., action: _Optional[_Union[Outlook.Action, str]] = ..., instances: _Optional[_Iterable[str]] = ..., since_ms: _Optional[int] = ..., code: _Optional[str] = ..., text: _Optional[str] = ..., placement: _Optional[_Union[Reason, _Mapping]] = ..., evicts: _Optional[_Iterable[str]] = ...) -> None: ...

class CopyAccount(_message.Message):
    __slots__ = ("instance", "load_ts_ms", "ready", "why", "unknown")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    LOAD_TS_MS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    instance: str
    load_ts_ms: int
    ready: bool
    why: Reason
    unknown: str
    def __init__(self, instance: _Optional[str] = ..., load_ts_ms: _Optional[int] = ..., ready: bool = ..., why: _Optional[_Union[Reason, _Mapping]] = ..., unknown: _Optional[str] = ...) -> None: ...

class FailureAccount(_message.Message):
    __slots__ = ("instance", "at_ms", "text", "until_ms")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    instance: str
    at_ms: int
    text: str
    until_ms: int
    def __init__(self, instance: _Optional[str] = ..., at_ms: _Optional[int] = ..., text: _Optional[str] = ..., until_ms: _Optional[int] = ...) -> None: ...

class DecisionFilter(_message.Message):
    __slots__ = ("rules", "model", "model_prefix", "instances", "since_ms")
    RULES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_PREFIX_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedScalarFieldContainer[str]
    model: str
    model_prefix: str
    instances: _containers.RepeatedScalarFieldContainer[str]
    since_ms: int
    def __init__(self, rules: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ..., model_prefix: _Optional[str] = ..., instances: _Optional[_Iterable[str]] = ..., since_ms: _Optional[int] = ...) -> None: ...

class DecisionsRequest(_message.Message):
    __slots__ = ("filter", "follow", "last")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    filter: DecisionFilter
    follow: bool
    last: int
    def __init__(self, filter: _Optional[_Union[DecisionFilter, _Mapping]] = ..., follow: bool = ..., last: _Optional[int] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("instance", "budget_ms", "action")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        DRAIN: _ClassVar[DrainRequest.Action]
        CORDON: _ClassVar[DrainRequest.Action]
        UNCORDON: _ClassVar[DrainRequest.Action]
    DRAIN: DrainRequest.Action
    CORDON: DrainRequest.Action
    UNCORDON: DrainRequest.Action
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_MS_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    instance: str
    budget_ms: int
    action: DrainRequest.Action
    def __init__(self, instance: _Optional[str] = ..., budget_ms: _Optional[int] = ..., action: _Optional[_Union[DrainRequest.Action, str]] = ...) -> None: ...

class DrainProgress(_message.Message):
    __slots__ = ("at_ms", "phase", "models", "settled", "in_flight", "text", "done")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    phase: str
    models: int
    settled: int
    in_flight: int
    text: str
    done: bool
    def __init__(self, at_ms: _Optional[int] = ..., phase: _Optional[str] = ..., models: _Optional[int] = ..., settled: _Optional[int] = ..., in_flight: _Optional[int] = ..., text: _Optional[str] = ..., done: bool = ...) -> None: ...

class Setting(_message.Message):
    __slots__ = ("name", "value", "default_value", "origin", "unit", "meaning", "dynamic")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MEANING_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    default_value: str
    origin: str
    unit: str
    meaning: str
    dynamic: bool
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., default_value: _Optional[str] = ..., origin: _Optional[str] = ..., unit: _Optional[str] = ..., meaning: _Optional[str] = ..., dynamic: bool = ...) -> None: ...

class GetSettingsRequest(_message.Message):
    __slots__ = ("names", "instance")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    instance: str
    def __init__(self, names: _Optional[_Iterable[str]] = ..., instance: _Optional[str] = ...) -> None: ...

class GetSettingsResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: _containers.RepeatedCompositeFieldContainer[Setting]
    def __init__(self, settings: _Optional[_Iterable[_Union[Setting, _Mapping]]] = ...) -> None: ...

class SetSettingRequest(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
