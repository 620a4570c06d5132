"""Backbones by their timm name; the only place that imports timm."""

from __future__ import annotations

import difflib
import sys
from functools import cache
from types import ModuleType

import torch
from torch import nn

from mien.errors import BadTraining

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

NORM_EPSILON = 1e-2
"""Of batch norms. Channels that are hardly ever active have running variances of 1e-8: with the usual 1e-5 a
picture that wakes some of them is amplified a hundredfold, layer after layer."""


def create_backbone(name: str) -> nn.Module:
    """A timm model without its classifier: (N, 3, S, S) pictures to (N, F) pooled features.

    Args:
        name: as timm lists it, weights random.

    Raises:
        BadTraining: timm has no such model.
    """
    timm = _timm()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        advice = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"
        raise BadTraining(f"backbone {name!r}: timm has no such model; {advice}")
    backbone = timm.create_model(name, pretrained=False, num_classes=0, in_chans=3)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = NORM_EPSILON
    return backbone


@cache
def _timm() -> ModuleType:
    """timm, also beside a torchvision built for another torch.

    timm imports torchvision, and a torchvision whose compiled operators do not load (a CUDA wheel beside a
    CPU torch) fails at import, as it describes operators that nobody defined. Backbones need none of them: it
    is enough to declare those that the import asks for. Only done where the import fails.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        global _declared
        _declared = torch.library.Library("torchvision", "FRAGMENT")  # lives as long as the operators shall
        for operator in _OPERATORS:
            _declared.define(operator)
    import timm

    return timm
