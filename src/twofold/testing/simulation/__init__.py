"""Your App under crashes, lost responses, pauses and takeovers: thousands of short histories in virtual time.

The engine is the real one; processes, network, disks, clocks and chance are simulated, all of it from one seed. When
one of the promises G1 to G11 or one of your own is broken, you get the smallest history that shows it.
"""

from twofold.testing.simulation.histories import Simulated, SimulationFailed, simulate

__all__ = ["Simulated", "SimulationFailed", "simulate"]
