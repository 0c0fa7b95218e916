"""Settings of models: which are there, where they go, when they get and lose copies."""

from __future__ import annotations

from meshd.settings.forms import STATIC_MODELS, STATIC_MODELS_FILE, TYPE_CONSTRAINTS, TYPE_CONSTRAINTS_FILE
from meshd.settings.kinds import whole
from meshd.settings.setting import Setting

MODELS = (
    Setting("MM_AUTO_REGISTER_MODELS", "static_models", STATIC_MODELS, "", "models that are there from the start",
            aliases=("MM_AUTO_REGISTER_MODEL",), unset=(), is_acted_on=False),
    Setting("MM_AUTO_REGISTER_MODEL_PATH", "static_models_path", STATIC_MODELS_FILE, "",
            "file of more of them, which come first", aliases=("MM_AUTO_REGISTER_MODELS_PATH",), is_acted_on=False),
    Setting("MM_TYPE_CONSTRAINTS", "type_constraints", TYPE_CONSTRAINTS, "",
            "labels that an instance needs for models of a type, and those that make it a better place",
            unset=None),
    Setting("MM_TYPE_CONSTRAINTS_PATH", "type_constraints_path", TYPE_CONSTRAINTS_FILE, "",
            "file of the same, read again when it changes"),
    Setting("MM_MIN_CHURN_AGE_MS", "min_churn_age_ms", whole(-1), "-1",
            "refuse a load that would evict models used within this; 0: never; -1: by the runtime's load timeout",
            "ms"),
    Setting("MM_LOAD_FAILURE_EXPIRY_TIME_MS", "failure_expiry_ms", whole(0), "900000",
            "an instance that could not load a model is not asked again for this long", "ms"),
    Setting("MM_LOADING_THREAD_COUNT", "load_threads", whole(1, 10_000), "8",
            "loads at a time where the runtime does not say how many it takes", "loads", is_acted_on=False),
    Setting("MM_SCALEUP_RPM_THRESHOLD", "scale_up_rpm", whole(1), "2000",
            "a copy that is asked more often than this calls for another one", "requests a minute", is_acted_on=False),
    Setting("MM_CONC_SCALEUP_BANDWIDTH_PCT", "scale_up_percent", whole(10, 200), "90",
            "share of its concurrency at which a copy with limited concurrency calls for another one", "percent",
            is_acted_on=False),
    Setting("MM_MIN_SECOND_COPY_AGE_SECS", "second_copy_min_s", whole(0, 10**9), "420",
            "a model used now and also between this long ago", "s", is_acted_on=False),
    Setting("MM_MAX_SECOND_COPY_AGE_SECS", "second_copy_max_s", whole(0, 10**9), "2400",
            "and this long ago gets a second copy", "s", is_acted_on=False),
    Setting("MM_RATECHECK_FREQ_MS", "rate_period_ms", whole(1, 10**9), "10000",
            "how often it is looked which models need more copies", "ms", is_acted_on=False),
    Setting("MM_JANITOR_FREQ_SECS", "janitor_period_s", whole(1, 10**9), "360",
            "how often an instance compares its copies with the registry and gives up those too many", "s",
            is_acted_on=False),
)  # fmt: skip
