"""The protocols of the mesh as generated modules, in a descriptor pool of their own.

Every .proto file here has the name and the contents that its users know it by. Programs that use the mesh bring their
own stubs for the same protocols, made from their own copy of the files. In the one default pool two copies of a file
that differ in anything but comments cannot meet; in a pool of our own they load side by side.
"""

from __future__ import annotations

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()
"""Where the generated modules register; gRPC reflection over them has to be given it."""
