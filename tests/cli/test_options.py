"""Options that several commands share, and what they mean together."""

from pathlib import Path

import pytest

from bakery.cli.options import wants_summary
from bakery.cli.publishing import Reporting
from bakery.errors import UsageError


def test_a_json_summary_needs_no_second_option_unless_it_goes_to_a_file():
    assert Reporting(summary_format="json").summary
    assert not Reporting(summary_format="table").summary
    assert not Reporting(summary_format="json", summary_file=Path("summary.json")).summary
    assert Reporting(summary=True, summary_format="json", summary_file=Path("summary.json")).summary


def test_a_plan_goes_with_a_table_but_not_with_a_json_summary():
    assert wants_summary(True, "table", plan=True)
    assert not wants_summary(False, "table", plan=True)
    for summary in (True, False):
        with pytest.raises(UsageError, match="--summary-format json"):
            wants_summary(summary, "json", plan=True)
