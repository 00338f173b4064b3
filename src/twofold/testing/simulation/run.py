"""Many histories, one after the other; what a failure is, and how it is made small."""
from __future__ import annotations
from collections import Counter
from random import Random
from twofold.testing.simulation.plan import Plan, Scenario, draw
from twofold.testing.simulation.world import World
from twofold.testing.simulation.invariants import check

def run(plan: Plan, told=False) -> World:
    world = World(plan, told=told)
    try:
        world.run()
        if not world.violations:
            check(world)
    finally:
        world.close()
    return world
