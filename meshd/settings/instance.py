"""Settings of who an instance is, where it listens and how it ends."""

from __future__ import annotations

from meshd.settings.kinds import FLAG, LABELS, PORT_OR_ANY, PORT_OR_NONE, TEXT, matching, whole
from meshd.settings.setting import Setting

INSTANCE = (
    Setting("MM_SERVICE_NAME", "service_name", matching(r"[^/\s]+", "a name without / and blanks"), None,
            "name of the mesh; its instances find each other by it", aliases=("TAS_SERVICE_NAME",)),
    Setting("MM_INSTANCE_ID", "instance_id",
            matching(r"[!-+\-.0-~]+", "an id of ASCII characters without commas, / and blanks"), "",
            "id of this instance; unset: the last 12 characters of WKUBE_POD_NAME, else meshd-<host name>-<random>"),
    Setting("MM_SVC_GRPC_PORT", "external_port", PORT_OR_ANY, "8033",
            "port for clients, inference and management; 0: any that is free", "port", ("TAS_SVC_GRPC_PORT",)),
    Setting("MM_MESH_PORT", "mesh_port", PORT_OR_ANY, "8080", "port for other instances; 0: any that is free", "port"),
    Setting("MM_PROBE_PORT", "probe_port", PORT_OR_NONE, "8089",
            "port of /ready and /live; 0: any that is free; NONE: no probes", "port"),
    Setting("MM_PRESTOP_WAIT_PORT", "prestop_port", PORT_OR_NONE, "8090",
            "port of /prestop, which answers when the runtime may stop; 0: any that is free; NONE: none", "port"),
    Setting("MM_BIND", "bind", matching(r"[^\s/\[\]]+", "an address or a host name"), "",
            "address that the ports are opened on; unset: all"),
    Setting("WKUBE_POD_NAME", "pod_name", TEXT, "", "name of the pod, by the downward API"),
    Setting("WKUBE_POD_IPADDR", "pod_address", TEXT, "", "address of the pod, by the downward API"),
    Setting("WATSON_SERVICE_ADDRESS", "address", matching(r"[^\s/]+", "an address or a host name"), "",
            "address that other instances reach this one at; unset: WKUBE_POD_IPADDR, else MM_BIND, else the host's"),
    Setting("MM_LOCATION", "location", TEXT, "", "node that this instance runs on", aliases=("WKUBE_NODE_IP",)),
    Setting("MM_ZONE", "zone", TEXT, "", "zone that this instance runs in"),
    Setting("MM_LABELS", "labels", LABELS, "", "what this instance's runtime can serve, with commas between", unset=()),
    Setting("SERVICE_VERSION", "service_version", TEXT, "",
            "build of this instance, unless the file build-version says it; the newer of two, by date, is preferred "
            "for loads"),
    Setting("MM_INSTALL_PATH", "install_path", TEXT, "",
            "directory that the file build-version may be in; unset: the working directory"),
    Setting("BOOTSTRAP_CLEARANCE_PERIOD_MS", "bootstrap_ms", whole(0), "180000",
            "loads that go wrong within this after the start leave the instance not ready for good, so that an upgrade "
            "to a broken build stops", "ms"),
    Setting("MM_FAILFAST_UPGRADE_ENABLED", "fails_fast", FLAG, "true",
            "false: loads that go wrong after the start never do that"),
    Setting("SHUTDOWN_TIMEOUT_MS", "shutdown_timeout_ms", whole(0), "30000",
            "time from SIGTERM to the end of the process", "ms"),
    Setting("LL_TERMINATION_MSG_PATH", "termination_path", TEXT, "",
            "file for the reason why a start failed; unset: /dev/termination-log in a pod, else none"),
    Setting("MM_ANCHOR_FILE", "anchor_path", TEXT, "",
            "file that start.sh leaves and stop.sh deletes: when it is gone this instance shuts down; unset: none"),
)  # fmt: skip
