"""Examples of every command, which its help ends with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import typer
from rich.markup import escape

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "up": ("mmctl up --model-dir models --detach", "mmctl up --instances 2 --runtime fake --restart"),
    "down": ("mmctl down",),
    "restart": ("mmctl restart", "mmctl restart mesh-1"),
    "logs": ("mmctl logs mesh-0 -f", "mmctl logs --since 5m"),
    "register": (
        "mmctl register fraud/v7 --type onnx --path fraud/v7.onnx --size 50MiB --label team=risk",
        "mmctl register fraud/v7 --type onnx --path fraud/v7.onnx --load --wait",
        "mmctl register -f models.yaml",
        "make-models | mmctl register -f -",
    ),
    "set": ("mmctl set fraud/v7 --min 2 --priority 9", "mmctl set fraud/v6 fraud/v7 --no-pin"),
    "unregister": (
        "mmctl unregister fraud/v6",
        "mmctl unregister -l team=risk --dry-run",
        "mmctl unregister -f models.yaml --yes",
    ),
    "apply": (
        "mmctl apply -f models.yaml",
        "mmctl apply -f models.yaml --prune -l team=risk",
        "mmctl apply -f backup.jsonl --yes",
    ),
    "diff": ("mmctl diff -f models.yaml", "mmctl diff -f models.yaml --prune -l team=risk -o json"),
    "export": ("mmctl export > backup.yaml", "mmctl export -o jsonl -l team=risk", "mmctl export fraud/v7"),
    "list": (
        "mmctl list --status failed -o wide",
        "mmctl list -l team=risk --instance mesh-0",
        "mmctl list --limit 20",
        "mmctl list --type onnx --watch",
    ),
    "get": ("mmctl get fraud/v7", "mmctl get fraud/v7 --watch -o json"),
    "describe": ("mmctl describe fraud/v7", "mmctl describe fraud/v7 -o json"),
    "wait": ("mmctl wait fraud/v7 --for ready --timeout 60", "mmctl wait fraud/v6 --for gone"),
    "load": ("mmctl load fraud/v7 --wait",),
    "infer": (
        "mmctl infer fraud/v7 --json @request.json",
        "make-request | mmctl infer fraud/v7 --json @-",
    ),
    "status": (
        "mmctl status --expect 3",
        "mmctl status --watch -o json",
    ),
    "instances": (
        "mmctl instances -o wide",
        "mmctl instances --watch --every 5",
    ),
    "top": (
        "mmctl top --sort rpm",
        "mmctl top --once --sort used --reverse",
    ),
    "explain": ("mmctl explain fraud/v7",),
    "events": ("mmctl events --model fraud/v7 --since 1h", "mmctl events --rule evict -f -o json"),
    "drain": ("mmctl drain mesh-1 --budget 60s",),
    "cordon": ("mmctl cordon mesh-1",),
    "uncordon": ("mmctl uncordon mesh-1",),
    "upgrade plan": (
        "mmctl upgrade plan --version 2 --set MM_SCALEUP_RPM_THRESHOLD=3000",
        "mmctl upgrade plan --context production --deployment modelmesh-serving-onnx -n serving --image meshd:1.1",
    ),
    "upgrade start": (
        "mmctl upgrade start --version 2 --capacity 1GiB --auto-rollback",
        "mmctl upgrade start --context production --deployment modelmesh-serving-onnx -n serving --image meshd:1.1",
        "mmctl upgrade start --context production --deployment model-mesh -n serving -k overlays/production",
        "mmctl upgrade start --resume --max-failed 10",
    ),
    "upgrade status": ("mmctl upgrade status", "mmctl upgrade status --watch"),
    "upgrade abort": ("mmctl upgrade abort", "mmctl upgrade abort --no-wait"),
    "doctor": (
        "mmctl doctor",
        "mmctl doctor --kv-store etcd:/etc/mesh/etcd.json --service mesh --only etcd-alarms -o json",
        "mmctl doctor --runtime localhost:8085 --model-type onnx --model-path models/digits.onnx",
        "mmctl doctor --modelmesh --kv-store etcd:etcd:2379 --service modelmesh-serving --prefix mm -f deployment.yaml",
    ),
    "version": ("mmctl version",),
    "debug bundle": (
        "mmctl debug bundle",
        "mmctl debug bundle --kv-store etcd:/etc/mesh/etcd.json --service mesh --all --out mesh.tar.gz",
    ),
    "simulate": (
        "mmctl simulate day.yaml",
        "mmctl simulate day.yaml --set instances.count=2,4,8 --report day.html",
    ),
    "tune": ("mmctl tune day.yaml --slo 'latency_p99<200ms'",),
    "replay": ("mmctl replay journal/mesh-0.jsonl",),
    "vmodel set": (
        "mmctl vmodel set fraud --target fraud/v7 --wait",
        "mmctl vmodel set fraud --target fraud/v7=90 --target fraud/v8=10",
        "mmctl vmodel set fraud --target fraud/v7 --shadow fraud/v8",
    ),
    "vmodel get": ("mmctl vmodel get fraud",),
    "vmodel list": ("mmctl vmodel list",),
    "vmodel delete": ("mmctl vmodel delete fraud",),
    "config list": ("mmctl config list --all",),
    "config get": ("mmctl config get logger_level",),
    "config set": ("mmctl config set logger_level debug",),
    "config unset": ("mmctl config unset logger_level",),
    "context list": ("mmctl context list",),
    "context use": ("mmctl context use staging",),
    "context set": (
        "mmctl context set staging --endpoint mesh-0.example:8033,mesh-1.example:8033",
        "mmctl context set production --kv-store etcd:/etc/mesh/etcd.json --service modelmesh-serving",
    ),
    "context delete": ("mmctl context delete staging",),
    "trace record": ("mmctl trace record --out day.jsonl.zst",),
    "trace convert": (
        "mmctl trace convert day.csv day.jsonl.zst --from csv --columns time=time,model=model,size=bytes",
    ),
    "trace inspect": ("mmctl trace inspect day.jsonl.zst --top 3",),
}
"""By the words of the command; each line is what a person types."""


def with_examples(app: typer.Typer) -> typer.Typer:
    """``app`` with the examples in the help of its commands."""
    for words, command in commands_of(app):
        if words in EXAMPLES:
            command.epilog = "\n".join(["Examples:", *(f"  {escape(line)}" for line in EXAMPLES[words])])
    return app


def commands_of(app: typer.Typer, before: str = "") -> Iterator[tuple[str, typer.models.CommandInfo]]:
    """Every command of the tree, with the words that name it."""
    for command in app.registered_commands:
        yield f"{before}{command.name}", command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from commands_of(group.typer_instance, f"{before}{group.typer_instance.info.name} ")
