"""Adam (Kingma and Ba 2015), with the same updates as torch.optim.Adam(fused=True), bit for bit.

The constructor of torch.optim.Adam imports torch's compiler, which takes each process over a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Updates parameters of one device in place, all in one kernel. Each parameter needs a gradient."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float) -> None:
        import torch

        self._parameters: list[torch.Tensor] = list(parameters)
        self._lr, self._steps = lr, 0
        self._mean = [torch.zeros_like(p) for p in self._parameters]
        self._square = [torch.zeros_like(p) for p in self._parameters]

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        import torch

        self._steps += 1
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        steps = torch.full((), float(self._steps), device=self._parameters[0].device)
        with torch.no_grad():
            torch._fused_adam_(
                self._parameters,
                gradients,
                self._mean,
                self._square,
                [],
                [steps] * len(gradients),
                lr=self._lr,
                beta1=BETA1,
                beta2=BETA2,
                eps=EPSILON,
                weight_decay=0.0,
                amsgrad=False,
                maximize=False,
            )
