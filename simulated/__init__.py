"""The Apps that the engine itself is simulated with: small ones, so that a history is short, that have it in them."""

from simulated.directory import IN_THE_DIRECTORY
from simulated.letters import IN_THE_OFFICE
from simulated.notebook import IN_THE_NOTEBOOK
from simulated.warehouse import IN_THE_WAREHOUSE

SCENARIOS = (IN_THE_WAREHOUSE, IN_THE_NOTEBOOK, IN_THE_DIRECTORY, IN_THE_OFFICE)
