"""Adam (Kingma and Ba 2015), with the same updates as torch.optim.Adam, bit for bit.

The constructor of torch.optim.Adam imports torch's compiler, which takes each process over a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Updates parameters of one device in place. Each parameter needs a gradient.

    fused: use one kernel for all parameters. Its rounding differs.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, fused: bool = False) -> None:
        import torch

        self._parameters: list[torch.Tensor] = list(parameters)
        self._lr, self._fused, self._steps = lr, fused, 0
        self._mean = [torch.zeros_like(p) for p in self._parameters]
        self._square = [torch.zeros_like(p) for p in self._parameters]

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        import torch

        self._steps += 1
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        with torch.no_grad():
            (self._step_fused if self._fused else self._step_each)(gradients)

    def _step_fused(self, gradients: list[torch.Tensor]) -> None:
        import torch

        steps = torch.full((), float(self._steps), device=self._parameters[0].device)
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

    def _step_each(self, gradients: list[torch.Tensor]) -> None:
        size = self._lr / (1 - BETA1**self._steps)
        root = (1 - BETA2**self._steps) ** 0.5
        for parameter, gradient, mean, square in zip(
            self._parameters, gradients, self._mean, self._square, strict=True
        ):
            mean.lerp_(gradient, 1 - BETA1)
            square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            parameter.addcdiv_(mean, (square.sqrt() / root).add_(EPSILON), value=-size)
