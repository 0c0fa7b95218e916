"""How a start ends that cannot be made."""


class StartError(Exception):
    """Why this process cannot start, in one sentence."""
