"""Power models: what a node draws as a function of its CPU use (``curves``), many nodes at once (``table``), which node
has which model and how well it is known (``models``), of what its watts are (``scope``), and the file that says so
(``file``, ``writing``)."""

from .curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from .file import parse_models, plugin_models
from .models import EMPTY, PowerModel, PowerModels, Quality
from .savings import Savings
from .scope import SCOPES, Scope
from .table import CurveRows, CurveTable
from .writing import render_models

__all__ = [
    "EMPTY",
    "SCOPES",
    "Curve",
    "CurveRows",
    "CurveTable",
    "Exponential",
    "IdleExponential",
    "Linear",
    "Piecewise",
    "PowerModel",
    "PowerModels",
    "Quality",
    "Savings",
    "Scope",
    "parse_models",
    "plugin_models",
    "render_models",
]
