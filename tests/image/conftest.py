"""The pod that a container is tried in: a network of its own, etcd, a runtime."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.image import TREE
from tests.image.pod import bring_up_network
from tests.omitted import omit


@pytest.fixture(scope="session")
def tree() -> Path:
    """The image's tree, in a network that is up."""
    if not (found := os.environ.get(TREE)):
        omit("no tree of the image; make image-check builds one")
    bring_up_network()
    return Path(found)
