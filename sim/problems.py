"""What is raised where a scenario, or a file that it names, cannot be."""

from __future__ import annotations


class ScenarioError(Exception):
    """A scenario that cannot be: ``problems`` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TraceError(ScenarioError):
    """A trace that cannot be: the one sentence begins with the file, and the line or record in it."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


class TraceFailed(TraceError):
    """Nothing is wrong with what a trace says: it was changed while it was read, or cannot be written."""
