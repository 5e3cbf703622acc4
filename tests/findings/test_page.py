"""docs/findings.md says what its results say, judged anew."""

import json

import pytest

from resnet_lab.findings.finding import stated
from resnet_lab.reproduce import finding_of
from tests.helpers import REPOSITORY

RESULTS = sorted((REPOSITORY / "docs" / "findings").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_page_states_the_verdict_of_the_result(path) -> None:
    result = json.loads(path.read_text())
    finding = finding_of(path.stem)
    page = (REPOSITORY / "docs" / "findings.md").read_text()
    assert f"## {finding.TITLE}\n\n**{stated(finding.judge(result['measured']))}.**" in page
    assert result["command"].partition(" --weights")[0] in page
