"""The commands that say why: explain one model, and events, the decisions as they are taken."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from meshcore.reasons import Rule
from mmctl.cluster import Cluster
from mmctl.connect import Target, run
from mmctl.decisions import plain_explanation, plain_reason
from mmctl.errors import Usage, nearest
from mmctl.options import Debug, Output, connected
from mmctl.output import Cell, Column, Form, View, say, show_fields, show_heading, show_list, show_table, show_value
from mmctl.sizes import human_age, parse_ms, printable

_FOLLOWED = (Form.TABLE, Form.WIDE, Form.JSON)
_NONE = "none that is still kept"


@connected
def explain(
    target: Target,
    name: Annotated[str, typer.Argument(metavar="MODEL", help="The id of a model, or of a virtual one.")],
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """Why a model is where it is, why it was evicted or failed, and what a request for it would meet now."""
    if output is Form.NAME:
        raise Usage("-o name: an explanation has no name; table, json or yaml")
    told = run(target, lambda cluster: cluster.explain(name))
    plain = plain_explanation(told)
    if output in (Form.TABLE, Form.WIDE):
        for each in (plain, plain["next"]):
            if each is not None:
                show_explanation(each)
    else:
        show_value(plain, output)
    if plain["unreachable"]:
        say(f"did not answer: {', '.join(plain['unreachable'])}; what they decided is missing here", "yellow")
    if plain["java"]:
        say(f"never asked, as they are ModelMesh's own: {', '.join(plain['java'])}", "yellow")


@connected
def events(
    target: Target,
    model: Annotated[str, typer.Option("--model", help="Only about this model.")] = "",
    starts: Annotated[str, typer.Option("--model-prefix", help="Only about models whose ids begin so.")] = "",
    instance: Annotated[list[str], typer.Option("--instance", help="Only by these; repeat it.")] = [],  # noqa: B006
    rule: Annotated[list[str], typer.Option("--rule", help="Only of these rules, as evict; repeat it.")] = [],  # noqa: B006
    since: Annotated[str, typer.Option("--since", metavar="5m", help="Only so long ago: 30s, 5m, 2h, 1d.")] = "",
    last: Annotated[int, typer.Option("--last", min=0, help="Only the newest so many; 0: all that are kept.")] = 1_000,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones.")] = False,
    output: Output = Form.TABLE,
    debug: Debug = False,
) -> None:
    """The decisions of all instances in the order of time."""
    for word in rule:
        if word not in list(Rule):
            raise Usage(f"--rule {word!r}: {nearest(word, Rule)}")
    if output not in _FOLLOWED and (follow or output is Form.NAME):
        raise Usage(f"-o {output.value}: events are shown as table, wide or json")
    since_ms = int(time.time() * 1000) - parse_ms("--since", since) if since else 0
    wanted = {"model": model, "model_prefix": starts, "instances": instance, "rules": rule, "since_ms": since_ms}

    async def command(cluster: Cluster) -> None:
        found = []
        async for reason in cluster.decisions(wanted, last, follow):
            plain = plain_reason(reason)
            if plain["rule"] == "lost":
                say(plain["cause"], "yellow")
            elif follow:
                _show_now(plain, output)
            else:
                found.append(plain)
        if not follow:
            show_list(EVENTS, found, output)

    try:
        run(target, command)
    except KeyboardInterrupt:
        return


def when(at_ms: int, now_ms: int) -> str:
    """An instant as people read it: how long ago, and when."""
    clock = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if at_ms > now_ms:
        return f"in {human_age(now_ms, at_ms)} ({clock})"
    age = human_age(at_ms, now_ms)
    return f"{age if age == 'now' else age + ' ago'} ({clock})"


def _clock(plain: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(plain["at_ms"] / 1000, UTC)
    return at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03d}"


_COLUMNS: list[Column[dict[str, Any]]] = [
    Column("TIME", _clock),
    Column("INSTANCE", lambda plain: plain["instance"]),
    Column("RULE", lambda plain: plain["rule"]),
    Column("MODEL", lambda plain: plain["model"] or "-"),
    Column("CHOSEN", lambda plain: plain["chosen"] or "-"),
    Column("SEQ", lambda plain: str(plain["seq"]), wide=True, right=True),
    Column("CAUSE", lambda plain: plain["cause"], flexible=True),
]
_CANDIDATE_COLUMNS: list[Column[Any]] = [Column("  INSTANCE", str), Column("VERDICT", str)]
EVENTS: View[dict[str, Any]] = View(_COLUMNS, lambda plain: plain, lambda plain: plain["rule"], "no decisions")


def _show_now(plain: dict[str, Any], form: Form) -> None:
    if form is Form.JSON:
        sys.stdout.write(json.dumps(plain, ensure_ascii=False) + "\n")
    else:
        parts = [
            _clock(plain),
            plain["instance"],
            f"{plain['rule']:<11}",
            plain["model"] or "-",
            plain["chosen"] or "-",
        ]
        sys.stdout.write(printable("  ".join([*parts, plain["cause"]])) + "\n")
    sys.stdout.flush()


def show_explanation(plain: dict[str, Any]) -> None:
    """A plain explanation, for people."""
    now_ms = int(time.time() * 1000)
    fields: list[tuple[str, str | Cell]] = []
    if vmodel := plain["vmodel"]:
        towards = f", to be {vmodel['target']}" if vmodel["target"] not in ("", vmodel["active"]) else ""
        fields.append(("vmodel", f"{vmodel['name']} is {vmodel['active']}{towards} ({vmodel['status']})"))
    fields += [
        ("model", f"{plain['model']}, {plain['status'].replace('_', ' ')}"),
        ("a request now", _outlook(plain["now"], now_ms)),
        ("last eviction", _event(plain["last_eviction"], now_ms)),
        ("last wait", _wait(plain["last_wait"], now_ms)),
    ]
    if plain["vmodels"]:
        fields.append(("vmodels", ", ".join(plain["vmodels"])))
    fields += [("unsatisfied", Cell(text, "yellow")) for text in plain["unsatisfied"]]
    show_fields(fields)
    placement = plain["now"]["placement"]
    if placement and placement["candidates"]:
        show_heading("who would load it")
        _candidates(placement)
    for copy in plain["copies"]:
        state = "ready" if copy["ready"] else "loading"
        show_heading(f"copy on {copy['instance']}, {state}, since {when(copy['load_ts_ms'], now_ms)}")
        why = copy["why"]
        if why is None:
            show_fields([("why", copy["unknown"])])
            continue
        show_fields([("why", f"{why['cause']} ({why['rule']}, decided by {why['instance']})")])
        if why["candidates"]:
            _candidates(why)
    for failure in plain["failures"]:
        show_heading(f"failed on {failure['instance']} {when(failure['at_ms'], now_ms)}")
        is_over = failure["until_ms"] <= now_ms
        until = "may be tried again" if is_over else f"gets no load until {when(failure['until_ms'], now_ms)}"
        show_fields([("text", Cell(failure["text"], "red")), ("there", until)])


def _candidates(reason: dict[str, Any]) -> None:
    rows = []
    for each in reason["candidates"]:
        is_chosen = each["id"] == reason["chosen"]
        verdict = Cell("chosen", "green") if is_chosen else Cell(f"rejected: {each['rejected'] or 'not reached'}")
        rows.append([Cell(f"  {each['id']}"), verdict])
    show_table(_CANDIDATE_COLUMNS, rows)
    if reason["more"]:
        show_fields([("and", f"{reason['more']:,} more")])


def _outlook(now: dict[str, Any], now_ms: int) -> str:
    where = ", ".join(now["instances"])
    match now["action"]:
        case "answered":
            return f"is answered by the copy on {where}"
        case "forwarded":
            return f"is answered by {where}" + (", whichever has fewer calls under way" if "," in where else "")
        case "waits":
            return f"waits for the load on {where} that began {when(now['since_ms'], now_ms)}"
        case "loaded":
            room = f", for which {', '.join(now['evicts'])} would go there" if now["evicts"] else ""
            return f"waits until {where} has loaded it{room}"
        case _:
            return f"is refused: {now['code']}: {now['text']}"


def _event(reason: dict[str, Any] | None, now_ms: int) -> str:
    if reason is None:
        return _NONE
    return f"{when(reason['at_ms'], now_ms)} on {reason['instance']}: {reason['cause']}"


def _wait(reason: dict[str, Any] | None, now_ms: int) -> str:
    if reason is None:
        return _NONE
    since = f"{when(reason['at_ms'], now_ms)} on {reason['instance']}: no copy was ready"
    if reason["rule"] == Rule.WAIT:
        return f"{since}, and one was loaded there"
    return f"{since}; one was loaded on {reason['chosen']}, {reason['cause']}"
