"""The names that the client relies on are those that the admin API answers with."""

from typing import get_type_hints

import pytest
from pydantic import BaseModel

from cli import shapes
from proxy.admin import models


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        (shapes.EndpointStatus, models.EndpointView),
        (shapes.VersionStatus, models.VersionView),
        (shapes.LastChange, models.ChangeView),
        (shapes.ServiceStatus, models.ServiceView),
        (shapes.LeaseStatus, models.LeaseView),
        (shapes.BroughtStatus, models.BroughtPart),
        (shapes.RunOut, models.RunOutView),
        (shapes.State, models.StateView),
        (shapes.Difference, models.DifferenceView),
        (shapes.Differences, models.ConfigDiffView),
    ],
)
def test_a_shape_has_the_names_of_the_answer(shape: type, model: type[BaseModel]):
    assert get_type_hints(shape).keys() == model.model_fields.keys()
