"""The names that the clients rely on are those that the APIs answer with.

The clients have shapes of their own, without pydantic, so that a command starts at once. This is where both are held
against each other.
"""

from keyword import iskeyword
from typing import get_type_hints

import pytest
from pydantic import BaseModel

from cli import controller, shapes
from controller.api import models as told
from controller.api import plan_view as planned
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


@pytest.mark.parametrize(
    ("shape", "model"),
    [
        (controller.OrderedStatus, told.OrderedView),
        (controller.LostProxy, told.LostProxyView),
        (controller.RolloutStatus, told.RolloutView),
        (controller.Rollouts, told.RolloutsView),
        (controller.DecisionStatus, told.DecisionView),
        (controller.Reasons, told.WhyView),
        (controller.LineStatus, told.LineView),
        (controller.PlannedRollback, planned.RollbackView),
        (controller.StepPlan, planned.StepPlanView),
        (controller.Plan, planned.PlanView),
    ],
)
def test_a_shape_of_the_controller_has_the_names_of_the_answer_but_those_that_python_cannot_write(
    shape: type, model: type[BaseModel]
):
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert get_type_hints(shape).keys() == {name for name in names if not iskeyword(name)}
