"""The Apps with which the engine itself is simulated: small, so that histories are short, and full of trouble."""

from simulated.directory import IN_THE_DIRECTORY, IN_THE_REGISTER
from simulated.letters import IN_THE_OFFICE
from simulated.notebook import IN_THE_NOTEBOOK
from simulated.warehouse import IN_THE_WAREHOUSE

FOLDED = (IN_THE_WAREHOUSE, IN_THE_NOTEBOOK, IN_THE_DIRECTORY, IN_THE_OFFICE)
"""Those whose read models are all projections."""
SCENARIOS = (*FOLDED, IN_THE_REGISTER)
