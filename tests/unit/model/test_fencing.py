"""What keeps a fencing device from being used is said when it is configured."""

from __future__ import annotations

import pytest

from daemon.model.configuration import AttributeSet, Configuration, Primitive
from daemon.model.validation import validate


def configured(properties: dict[str, str], **parameters: str) -> Configuration:
    values = (AttributeSet(id="i", values=parameters),)
    device = Primitive(id="f", standard="stonith", type="fence_apc", instance=values)
    return Configuration(resources=(device,), properties=(AttributeSet(id="p", values=properties),))


@pytest.mark.parametrize(
    ("properties", "parameters", "codes"),
    [
        ({"stonith-enabled": "true"}, {"pcmk_host_list": "a2"}, []),
        ({"stonith-enabled": "true"}, {"pcmk_host_map": "a2:7"}, []),
        ({"stonith-enabled": "true"}, {}, ["device-without-hosts"]),
        ({}, {"pcmk_host_list": "a2"}, ["fencing-off"]),
        ({"stonith-enabled": "true", "tie-breaker": "a1"}, {"pcmk_host_list": "a2"}, ["fencing-with-tie-breaker"]),
        (
            {"stonith-enabled": "true", "no-quorum-policy": "suicide"},
            {"pcmk_host_list": "a2"},
            ["fencing-with-suicide"],
        ),
    ],
)
def test_each_obstacle_is_a_warning_with_its_remedy(
    properties: dict[str, str], parameters: dict[str, str], codes: list[str]
) -> None:
    found = validate(configured(properties, **parameters))
    assert [finding.code for finding in found] == codes
    assert all(finding.severity == "warning" and finding.remedy for finding in found)
