"""The simulator: plays the rules of meshcore in simulated time."""

from sim.problems import ScenarioError
from sim.reading import parse_scenario, read_scenario
from sim.world import Result, Speed, run

__all__ = ["Result", "ScenarioError", "Speed", "parse_scenario", "read_scenario", "run"]
