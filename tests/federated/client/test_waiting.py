import time
from itertools import count

import pytest

from federated.errors import Conflict
from federated.sdk.waiting import wait_until

PAST = 0.0


def test_it_looks_until_it_is_done_and_tells_of_every_look():
    looks, told = count(), []
    seen = wait_until(
        lambda: next(looks), lambda n: n == 3, deadline=None, pause=0, progress=told.append
    )
    assert (seen, told) == (3, [0, 1, 2, 3])


def test_at_the_deadline_it_returns_what_it_saw_last():
    assert wait_until(lambda: "open", lambda _: False, deadline=PAST, pause=60) == "open"


def test_it_looks_once_although_the_deadline_is_past():
    assert (
        wait_until(lambda: "done", lambda seen: seen == "done", deadline=PAST, pause=60) == "done"
    )


def test_what_is_done_already_waits_for_nothing():
    assert wait_until(lambda: 1, bool, deadline=time.monotonic() + 3600, pause=3600) == 1


def test_a_look_that_raises_ends_the_wait():
    def look():
        raise Conflict("declined")

    with pytest.raises(Conflict, match="declined"):
        wait_until(look, bool, deadline=None, pause=60)
