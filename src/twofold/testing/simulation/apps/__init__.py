"""The Apps that the engine itself is simulated with: small ones, so that a history is short, that have it in them."""

from twofold.testing.simulation.apps.directory import IN_THE_DIRECTORY
from twofold.testing.simulation.apps.letters import IN_THE_OFFICE
from twofold.testing.simulation.apps.notebook import IN_THE_NOTEBOOK
from twofold.testing.simulation.apps.warehouse import IN_THE_WAREHOUSE

SCENARIOS = (IN_THE_WAREHOUSE, IN_THE_NOTEBOOK, IN_THE_DIRECTORY, IN_THE_OFFICE)
