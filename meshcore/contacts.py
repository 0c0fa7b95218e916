"""Whom the plane may try, and where: what it was told last of every other instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcore.commands import Peer, Peers

if TYPE_CHECKING:
    from meshcore.node import Node


class Contacts:
    """Tells the plane of an instance whenever its address, or whether it is worth trying, is another."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._peers: dict[str, Peer] = {}

    def reached(self, instance: str) -> None:
        """A peer answered: it is as good as any."""
        if self._node.view.health.succeeded(instance):
            self.changed(instance)

    def changed(self, instance: str) -> None:
        """An instance became worth trying, or stopped being so."""
        if known := self._peers.get(instance):
            self.tell(instance, known.address)

    def tell(self, instance: str, address: str) -> None:
        """An instance is at ``address`` (empty: gone); this one is nobody's peer."""
        node = self._node
        if instance == node.me:
            return
        health = node.view.health
        is_ok, is_on_trial = health.is_ok(instance, node.now), health.is_on_trial(instance, node.now)
        peer = Peer(instance, address, is_ok, is_on_trial)
        known = self._peers.get(instance)
        if address:
            self._peers[instance] = peer
        else:
            self._peers.pop(instance, None)
        if peer != known:
            node.rendezvous.forget()
        if peer != known and (known is not None or address):
            node.emit(Peers((peer,)))
