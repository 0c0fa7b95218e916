"""Which part of a node hears of which event."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from meshcore.events import (
    CommitFailed,
    Committed,
    Conflicted,
    Constrained,
    Cordoned,
    DrainAsked,
    Drained,
    Event,
    Idled,
    InstancesSeen,
    LeaderSeen,
    Loaded,
    LoadFailed,
    Measured,
    Predicted,
    Published,
    PublishFailed,
    Reached,
    RegistrySeen,
    RuntimeBack,
    RuntimeLeaving,
    RuntimeProbed,
    RuntimeSuspected,
    SessionRenewed,
    Started,
    StoreFound,
    StoreLost,
    Ticked,
    Tuned,
    Unloaded,
    UnloadFailed,
    Used,
    VModelsSeen,
)

if TYPE_CHECKING:
    from meshcore.node import Node


def take(node: Node, event: Event) -> None:
    """Tell the parts of ``node`` that it concerns what happened."""
    match event:
        case Used(usages):
            for usage in usages:
                node.cache.used(usage.model, usage.last_used, usage.in_flight, usage.count)
            node.scaling.used(usages)
        case Committed(ticket, mod):
            node.writer.committed(ticket, mod)
        case Conflicted(ticket, value, mod):
            node.writer.conflicted(ticket, value, mod)
        case CommitFailed(ticket, text, is_refused):
            if is_refused:
                node.outage.refused(text)
            node.writer.failed(ticket, text, node.now)
        case RegistrySeen(revision, models, is_whole):
            for gone in models:  # first, lest a registration made anew at once keep the copy of the former
                if gone.value is None:
                    node.see(gone)
            see = node.view.reset_models if is_whole else node.view.see_models
            for model in see(revision, models):
                node.model_seen(model)
        case VModelsSeen():
            node.vmodels.told(event)
        case InstancesSeen(revision, instances, is_whole):
            see = node.view.reset_instances if is_whole else node.view.see_instances
            for instance in see(revision, instances):
                node.instance_seen(instance)
            node.rerouting.tick()
            node.readiness.look()
        case Constrained(constraints):
            node.view.constrain(constraints)
            node.upkeep.constrained()
        case Predicted(model, gen, size_bytes):
            node.copies.admission.predicted(model, gen, size_bytes)
        case Loaded(model, gen, size_bytes, max_concurrency):
            node.copies.loaded(model, gen, size_bytes, max_concurrency)
        case LoadFailed():
            node.runtime.load_failed(event)
        case Measured(model, gen, size_bytes):
            node.copies.measured(model, gen, size_bytes)
        case Drained(model, gen):
            node.copies.unloads.free(model, gen)
        case Unloaded(model, gen):
            node.copies.unloads.unloaded(model, gen)
        case UnloadFailed(model, gen, text):
            node.copies.unloads.failed(model, gen, text)
        case RuntimeSuspected(text):
            node.runtime.suspected(text)
        case RuntimeProbed(question, finding):
            node.runtime.probed(question, finding)
        case RuntimeBack(params):
            node.view.order.churn_age_ms = params.min_churn_age_ms
            node.runtime.back(params)
        case Published(seq):
            node.publisher.published(seq)
            node.outage.published()
        case PublishFailed(seq, _):
            node.publisher.failed(seq, node.now)
            node.outage.unpublished()
        case Reached(instance):
            node.contacts.reached(instance)
        case SessionRenewed():
            node.publisher.ask_now(node.now)
            node.upkeep.lease_lost()
        case Tuned(values):
            node.tuned(values)
        case LeaderSeen(instance):
            node.upkeep.led_by(instance)
        case StoreLost():
            node.upkeep.store_lost()
            node.outage.lost()
        case StoreFound():
            node.upkeep.store_found()
            node.outage.found()
        case Started():
            node.readiness.started()
        case Ticked():
            node.tick()
        case DrainAsked(budget_ms):
            node.drain_asked(budget_ms)
        case RuntimeLeaving(budget_ms):
            node.runtime_leaves(budget_ms)
        case Cordoned(is_cordoned):
            node.cordoned(is_cordoned)
        case Idled():
            node.idled()
        case _:
            assert_never(event)
