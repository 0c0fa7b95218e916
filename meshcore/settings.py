"""Every number the rules go by, with its unit, its default and why it exists."""

from __future__ import annotations

from dataclasses import dataclass, field


def _knob(default: int, why: str) -> int:
    value: int = field(default=default, metadata={"why": why})
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one instance; defaults are those users of ModelMesh know (docs/design.md, constants)."""

    min_churn_age_ms: int = _knob(-1, "refuse a load that would evict models used within this; -1: from load times")
    max_rounds: int = _knob(8, "a request ends after this many tries")
    max_hops: int = _knob(3, "a request crosses at most this many instances")
    max_load_failures: int = _knob(3, "recent failures after which a request starts no further load")
    max_load_locations: int = _knob(5, "copies after which a request starts no further load")
    max_exhausted: int = _knob(2, "answers RESOURCE_EXHAUSTED after which a request gives up")
    max_declines: int = _knob(7, "a load is left to another instance at most this often")
    declined_wait_ms: int = _knob(10, "and waits about this long for news each time, half as much again the next")
    failure_expiry_ms: int = _knob(900_000, "a recorded load failure keeps an instance out this long")
    wait_load_factor: int = _knob(5, "a request waits for a load at most this many load timeouts")
    space_wait_ms: int = _knob(180_000, "a load waits this long for memory to come free")
    predict_deadline_ms: int = _knob(500, "the runtime has this long to predict a size")
    measure_deadline_ms: int = _knob(30_000, "the runtime has this long to measure a size")
    drain_copy_ms: int = _knob(127_000, "a removed copy's requests have this long before the unload")
    unload_used_ms: int = _knob(0, "a copy that goes is unloaded this long after it, if its requests have ended")
    unload_sizing_ms: int = _knob(1_500, "a copy that goes while its size is measured is unloaded after this")
    unload_failed_ms: int = _knob(1_000, "what a failed load left is unloaded after this")
    unload_late_ms: int = _knob(3_000, "what a load left that took too long is unloaded after this")
    unload_evicted_load_ms: int = _knob(500, "a load cancelled for room is unloaded after this, and its end")
    unload_removed_load_ms: int = _knob(3_000, "a load cancelled for another cause is unloaded after this, and its end")
    unload_retry_first_ms: int = _knob(1_000, "first retry of a failed unload")
    unload_retry_ms: int = _knob(10_000, "later retries of a failed unload")
    unload_retry_early_ms: int = _knob(10_000, "before loads and after unloads failed ones are retried this often")
    unload_retries: int = _knob(90, "retries of an unload before its memory counts as lost")
    max_inflight_per_copy: int = _knob(
        0, "requests on a copy with limited concurrency; 0: from it; negative: any number"
    )
    suspect_ms: int = _knob(10_000, "models lost this soon after the connection to the runtime show a restart")
    probe_again_ms: int = _knob(1_000, "it is looked at no more often, and again after this if nothing was to be seen")
    lost_models: int = _knob(2, "if they are this many different ones")
    lost_within_ms: int = _knob(5_000, "and were lost within this")
    deregister_batch: int = _knob(100, "writes under way at once to take the copies of a restarted runtime out")
    publish_period_ms: int = _knob(40_000, "an instance writes its record at least this often")
    publish_gap_ms: int = _knob(2_000, "and at most this often")
    reservation_ms: int = _knob(10_000, "a sent load counts against its target until seen or this long")
    eject_first_ms: int = _knob(40, "an unreachable peer is left alone this long at first")
    eject_most_ms: int = _knob(30_000, "and at most this long")
    store_retry_ms: int = _knob(1_000, "a write the store did not take is tried again after this")
    register_age_load_ms: int = _knob(3_600_000, "a model registered and loaded counts as used this long ago")
    register_age_ms: int = _knob(21_600_000, "a model only registered counts as used this long ago")
    touch_stored_ms: int = _knob(3_600_000, "re-registering refreshes a stored last use older than this")
