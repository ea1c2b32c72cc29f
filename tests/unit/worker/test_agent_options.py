"""What an agent may be asked."""

from typing import Any

import pytest

from ablate.errors import LaunchError
from ablate.worker.agent_options import AgentOptions


def test_renewal_is_a_third_of_the_lease() -> None:
    assert AgentOptions(study="s", storage="u", lease_s=60).renewal_s == 20


@pytest.mark.parametrize("times", [{"lease_s": 10, "renew_s": 6}, {"lease_s": 10, "renew_s": 20}, {"lease_s": 0.1}])
def test_lease_that_would_run_out_between_renewals_is_refused(times: dict[str, Any]) -> None:
    with pytest.raises(LaunchError, match=r"expected at (most|least)"):
        AgentOptions(study="s", storage="u", **times)
