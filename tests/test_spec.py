from __future__ import annotations

import json

import pytest

from burnish.errors import RunError
from burnish.spec import ImageSpec, spec_from_dict

SPEC = ImageSpec(3, 32, 24, ("ant", "蜂"), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), mirror=False)


def test_json_round_trip():
    assert spec_from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


@pytest.mark.parametrize(
    "wrong", [{"kind": "text"}, {}, {"kind": "image"}, {**SPEC.to_dict(), "mean": [0.5]}]
)
def test_what_is_no_spec_is_refused(wrong):
    with pytest.raises(RunError, match="spec"):
        spec_from_dict(wrong)


def test_repeated_class_names_are_refused():
    with pytest.raises(ValueError, match="repeat"):
        ImageSpec(1, 8, 8, ("a", "a"), (0.5,), (0.5,))
