"""Settings of models: which are there, where they go, when they get and lose copies."""

from __future__ import annotations

from meshd.settings.forms import STATIC_MODELS, STATIC_MODELS_FILE, TYPE_CONSTRAINTS, TYPE_CONSTRAINTS_FILE
from meshd.settings.kinds import choice, whole
from meshd.settings.setting import Setting

MODELS = (
    Setting("MM_AUTO_REGISTER_MODELS", "static_models", STATIC_MODELS, "", "models that are there from the start",
            aliases=("MM_AUTO_REGISTER_MODEL",), unset=()),
    Setting("MM_AUTO_REGISTER_MODEL_PATH", "static_models_path", STATIC_MODELS_FILE, "",
            "file of more of them, which come first", aliases=("MM_AUTO_REGISTER_MODELS_PATH",)),
    Setting("MM_TYPE_CONSTRAINTS", "type_constraints", TYPE_CONSTRAINTS, "",
            "labels that an instance needs for models of a type, and those that make it a better place",
            unset=None, is_acted_on=False),
    Setting("MM_TYPE_CONSTRAINTS_PATH", "type_constraints_path", TYPE_CONSTRAINTS_FILE, "",
            "file of the same, read again when it changes", is_acted_on=False),
    Setting("MM_MIN_CHURN_AGE_MS", "min_churn_age_ms", whole(-1), "-1",
            "refuse a load that would evict models used within this; 0: never; -1: by the runtime's load timeout",
            "ms"),
    Setting("MM_LOAD_FAILURE_EXPIRY_TIME_MS", "failure_expiry_ms", whole(0), "900000",
            "an instance that could not load a model is not asked again for this long, half as long if it is in use",
            "ms"),
    Setting("MM_EVICTION_POLICY", "eviction_policy", choice("lru", "cost"), "lru",
            "which copy makes room; lru: the one not used for longest; cost: also what it takes and how long it loads"),
    Setting("MM_LOADING_THREAD_COUNT", "load_threads", whole(1, 10_000), "8",
            "loads at a time where the runtime does not say how many it takes", "loads", is_acted_on=False),
    Setting("MM_SCALEUP_RPM_THRESHOLD", "scale_up_rpm", whole(10, 2**31 - 1), "2000",
            "a copy that is asked more often than this calls for another one", "requests a minute"),
    Setting("MM_CONC_SCALEUP_BANDWIDTH_PCT", "scale_up_percent", whole(10, 200), "90",
            "share of its concurrency at which a copy with limited concurrency calls for another one", "percent"),
    Setting("MM_MIN_SECOND_COPY_AGE_SECS", "second_copy_min_s", whole(0, 10**9), "420",
            "a model used now and also between this long ago", "s"),
    Setting("MM_MAX_SECOND_COPY_AGE_SECS", "second_copy_max_s", whole(0, 10**9), "2400",
            "and this long ago gets a second copy", "s"),
    Setting("MM_RATECHECK_FREQ_MS", "rate_period_ms", whole(1, 10**9), "10000",
            "how often it is looked which models need more copies", "ms"),
    Setting("MM_JANITOR_FREQ_SECS", "janitor_period_s", whole(1, 10**9), "360",
            "how often an instance compares its copies with the registry and gives up those too many", "s"),
    Setting("MM_SCALEDOWN_SETTLED_MS", "scale_down_settled_ms", whole(0), "1800000",
            "a model with more than two copies keeps them for this long after the latest came", "ms"),
    Setting("MM_SCALEDOWN_HEAVY_MS", "scale_down_heavy_ms", whole(0), "600000",
            "and at least this long after one of them was used heavily", "ms"),
    Setting("MM_SCALEDOWN_HEAVY_BASE_MS", "scale_down_heavy_base_ms", whole(0), "104000",
            "or this long, and 3 % of the time that the mesh's least recently used model was not used", "ms"),
    Setting("MM_SCALEDOWN_HEAVY_MAX_MS", "scale_down_heavy_max_ms", whole(0), "18000000",
            "but no longer than this", "ms"),
    Setting("MM_SCALEDOWN_UNUSED_MS", "scale_down_unused_ms", whole(0), "36000000",
            "one of two copies goes at the latest when not used for this long, unless it was used heavily", "ms"),
    Setting("MM_SECOND_COPY_LRU_MS", "second_copy_lru_ms", whole(0), "72000000",
            "without a tenth of free memory there are second copies if no model was used longer ago than this", "ms"),
)  # fmt: skip
