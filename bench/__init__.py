"""Measurements that say how fast something is; nothing in the tests depends on them."""
