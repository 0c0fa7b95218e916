"""The image without a container engine; `make image-check` runs these tests, in namespaces of their own."""

TREE = "MESHD_IMAGE_TREE"
"""The variable that says where the image's tree is."""
