"""List the scenarios, one file each."""

from ..scenario import Scenario
from .dialogue import FindingOut
from .documents import Documents
from .expressions import Expressions
from .inoculation import Inoculation
from .instructions import Instructions
from .preferences import Preferences
from .process import Process
from .sycophancy import Sycophancy
from .tampering import Tampering

ALL: tuple[type[Scenario], ...] = (
    Documents,
    Expressions,
    FindingOut,
    Inoculation,
    Instructions,
    Preferences,
    Process,
    Sycophancy,
    Tampering,
)
