from federated.errors import Conflict, Unavailable


class ChainUnavailable(Unavailable):
    """The chain's node does not answer, or not in time; anchors wait."""

    code = "chain_unavailable"
    title = "The chain is not available"


class ChainRefused(Conflict):
    """The chain answers, but does not take an anchor."""

    code = "chain_refused"
    title = "The chain refuses the anchor"


class ClockDiffers(Conflict):
    """A cosignature whose time is far from the portal's."""

    code = "clock_differs"
    title = "The clocks differ too much"
