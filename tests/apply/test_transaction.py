"""What a group leaves behind when it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyconfd.apply.transaction import Candidate
from pyconfd.errors import SwapError, SwapReverted, SwapTorn
from pyconfd.model.steps import Result
from pyconfd.pipeline import stage
from tests.support.steps import rendered, strays_in


@pytest.mark.parametrize(("error", "left"), [(SwapReverted("no"), 0), (SwapTorn("half"), 1)])
def test_staged_files_stay_only_where_they_tell_the_next_start_what_has_happened(
    tmp_path: Path, error: SwapError, left: int
) -> None:
    """Of a torn set: recovery finds by them which renames did not happen."""
    made = rendered(tmp_path / "a", b"new")
    staged = stage.stage(made)
    assert staged
    candidate = Candidate("a", [made.resource], staged=[staged])
    candidate.fail(made.resource, Result.SWAP_FAILED, error=error)
    assert len(strays_in(tmp_path)) == left
    assert candidate.outcomes[made.resource.dest].result is Result.SWAP_FAILED
