"""Power models: what a node draws as a function of its CPU use (``curves``), many nodes at once (``table``), which node
has which model and how well it is known (``models``), and the file that says so (``file``,
``writing``)."""

from .curves import Curve, Exponential, IdleExponential, Linear, Piecewise
from .file import parse_models, plugin_models
from .models import EMPTY, PowerModel, PowerModels, Quality
from .savings import Savings
from .table import CurveRows, CurveTable
from .writing import render_models

__all__ = [
    "EMPTY",
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
    "parse_models",
    "plugin_models",
    "render_models",
]
