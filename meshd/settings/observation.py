"""Settings of what is to be seen of an instance: logs, metrics, payloads, its journal."""

from __future__ import annotations

from meshd.settings.forms import LOG_HEADERS
from meshd.settings.kinds import FLAG, PART, TEXT, Kind, choice, whole
from meshd.settings.metrics import INFO_METRIC, METRICS, MetricsConfig
from meshd.settings.setting import Setting
from meshd.settings.store import USERINFO

OBSERVATION = (
    Setting("MM_METRICS", "metrics", METRICS, "",
            "metrics; unset: prometheus:port=2112;scheme=http; set: the scheme is https unless it says otherwise",
            unset=MetricsConfig()),
    Setting("MM_INFO_METRICS", "info_metric", INFO_METRIC, "",
            "a metric that is always 1, whose labels are taken from variables of the environment, at most 4",
            unset=None, is_acted_on=False),
    Setting("MM_LOG_PROMETHEUS_REQS", "logs_scrapes", FLAG, "false", "log every scrape of the metrics",
            is_acted_on=False),
    Setting("MM_LOG_EACH_INVOKE", "logs_each_request", FLAG, "false", "log every request"),
    Setting("MM_LOG_REQUEST_HEADERS", "log_headers", LOG_HEADERS, "",
            "headers of a request whose values stand in its log lines, and under which key each", unset=()),
    Setting("MM_LOG_LEVEL", "log_level", choice("debug", "info", "warning", "error"), "info", "what is logged"),
    Setting("MM_LOG_FORMAT", "log_format", choice("text", "json"), "text", "how it is logged"),
    Setting("MM_JOURNAL_PATH", "journal_path", TEXT, "",
            "file for all that this instance decides, {instance} stands for its id; compressed if it ends in .zst; "
            "unset: none"),
    Setting("MM_TRACE_PATH", "trace_path", TEXT, "",
            "file for what clients ask this instance for, and when, to be replayed by mmctl simulate; {instance} "
            "stands for its id; compressed if it ends in .zst; unset: none"),
    Setting("MM_TRACE_SAMPLE", "trace_sample", PART, "1",
            "the part of all models whose requests are in it: the same models on every instance"),
    Setting("MM_TRACE_MAX_BYTES", "trace_max_bytes", whole(65536), "1073741824",
            "the trace ends when its file has grown by this much", "bytes"),
    Setting("MM_PAYLOAD_PROCESSORS", "payload_processors",
            Kind(lambda text: tuple(text.split()), "URIs with blanks between", separator=" "), "",
            "where requests and answers are sent besides: http://… or logger://…, with ?<model> and #<method> to pick",
            unset=(), secret=USERINFO, is_acted_on=False),
    Setting("MM_PAYLOAD_PROCESSORS_THREADS", "payload_threads", whole(1, 1000), "2",
            "payloads that are sent at a time", "payloads", is_acted_on=False),
    Setting("MM_PAYLOAD_PROCESSORS_CAPACITY", "payload_capacity", whole(1, 10**6), "64",
            "payloads that wait to be sent; further ones are dropped", "payloads", is_acted_on=False),
)  # fmt: skip
