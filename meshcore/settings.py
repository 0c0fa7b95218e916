"""Every number the rules go by, with its unit, its default and why it exists."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


def _knob(default: int, why: str) -> int:
    value: int = field(default=default, metadata={"why": why})
    return value


LEAST = {
    "min_churn_age_ms": -1,
    "max_inflight_per_copy": -1,
    **dict.fromkeys(
        ("publish_period_ms", "janitor_period_ms", "rate_period_ms", "scale_up_rpm", "max_load_failures"), 1
    ),
    "slice_models": 1,
}
"""Of settings that may be less than 0, and of those with which nothing would ever go on at 0."""


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
    failure_in_use_ms: int = _knob(180_000, "half as long if a request wanted the model within this")
    wait_load_factor: int = _knob(5, "a request waits for a load at most this many load timeouts")
    space_wait_ms: int = _knob(180_000, "a load waits this long for memory to come free")
    predict_deadline_ms: int = _knob(500, "the runtime has this long to predict a size")
    average_copies: int = _knob(10, "copies in the cluster from which an average size can stand for a prediction")
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
    reload_load_timeouts: int = _knob(2, "a copy evicted this many load timeouts after its load is loaded elsewhere")
    reload_free_percent: int = _knob(5, "if this much of the cluster is free")
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
    rate_period_ms: int = _knob(10_000, "the copies used here are looked at this often: do their models need more")
    scale_up_rpm: int = _knob(2_000, "requests a minute for a copy that call for further ones")
    scale_up_percent: int = _knob(90, "the same where concurrency is limited: share of the time that it is busy")
    scale_up_ahead_ms: int = _knob(20_000, "a model that gets copies for its load counts as used this far ahead")
    scale_up_most: int = _knob(20, "models that get further copies in one pass over those used here")
    second_copy_min_ms: int = _knob(420_000, "a model with one copy that is used, and was at least this long ago")
    second_copy_max_ms: int = _knob(2_400_000, "and at most this long ago, gets a second one")
    second_copy_lru_ms: int = _knob(72_000_000, "without free memory only if the least recently used is this old")
    janitor_period_ms: int = _knob(360_000, "an instance looks over its copies and what records say of it this often")
    scale_down_unused_ms: int = _knob(36_000_000, "one of two copies stays at most this long unused after light use")
    scale_down_settled_ms: int = _knob(1_800_000, "one of many copies stays this long after the latest came")
    scale_down_heavy_ms: int = _knob(600_000, "one of many copies stays at least this long after heavy use")
    scale_down_heavy_max_ms: int = _knob(18_000_000, "and not longer than this for it")
    scale_down_heavy_base_ms: int = _knob(104_000, "between them this and a part of the cluster's LRU age")
    busy_period_ms: int = _knob(60_000, "how busy an instance is is sampled this often")
    busy_window_ms: int = _knob(360_000, "and is the mean over this long")
    late_ms: int = _knob(30_000, "who is woken this late looks at a clock that jumped, or stood still")
    ready_wait_ms: int = _knob(600_000, "an instance that starts waits this long for others that are going")
    failfast_ms: int = _knob(180_000, "loads that fail this soon after the start can take an instance out of use")
    failfast_fatal: int = _knob(2, "if more than this many are of models that others hold")
    failfast_loads: int = _knob(20, "or if, of more loads than this,")
    failfast_percent: int = _knob(50, "more than this part fail")
    failfast_old_ms: int = _knob(1_800_000, "not counting models that failed this long ago already")
    lease_ttl_ms: int = _knob(25_000, "an instance that is not heard of for this long is gone")
    missing_grace_ms: int = _knob(30_000, "what records say of an instance that is gone is kept this long")
    vanished_hold_ms: int = _knob(300_000, "and this long where more than a third of the instances went together")
    prune_batch: int = _knob(100, "writes under way at once to take what is gone off records")
    last_used_ahead_ms: int = _knob(21_600_000, "a stored last use is refreshed once it is this much behind")
    last_used_spread_ms: int = _knob(3_600_000, "and up to this much more, each instance in its own way")
    slice_models: int = _knob(100, "models that upkeep, or a count, looks at in one go")
    slice_pause_ms: int = _knob(10, "before it goes on after this")
    fill_first_ms: int = _knob(120_000, "who leads loads models in advance after this")
    fill_period_ms: int = _knob(420_000, "and again this often; 0: nobody loads in advance")
    fill_gap_ms: int = _knob(15_000, "and this soon after an instance or room has come")
    fill_batch: int = _knob(20, "loads in advance that are begun in one go")
    fill_pause_ms: int = _knob(200, "before more of them after this")
    min_copies_retry_ms: int = _knob(10_000, "a copy that a model lacks is asked for again after this")
    handover_recent_ms: int = _knob(3_600_000, "an instance that goes waits till others have what was used within this")
    handover_news_ms: int = _knob(1_000, "a copy goes this long after its record stopped naming it")
    runtime_leave_ms: int = _knob(60_000, "a runtime that may leave, and is still there after this, stays")
    handover_again_ms: int = _knob(2_000, "who declined, or room that has come, is asked for copies again after this")

    vmodel_wait_ms: int = _knob(240_000, "who waits for a virtual model to switch waits at most this long")
    vmodel_match_ms: int = _knob(120_000, "it switches with fewer copies than answer now once this long has passed")
    vmodel_retry_ms: int = _knob(10_000, "copies that it needs for that are asked for again after this")
    vmodel_failed_ms: int = _knob(60_000, "and after this where they cannot be loaded")
    vmodel_batch: int = _knob(20, "virtual models that copies are loaded for at once")

    def __post_init__(self) -> None:
        """Raises ValueError for a number that is too small, and where two settings cannot be together."""
        for knob in fields(self):
            value, least = getattr(self, knob.name), LEAST.get(knob.name, 0)
            if value < least:
                raise ValueError(f"{knob.name} is {value}; it has to be {least} or more")
        least, most = self.second_copy_min_ms, self.second_copy_max_ms
        if least >= most:
            raise ValueError(f"second_copy_min_ms is {least}; it has to be below second_copy_max_ms, {most}")
