"""The rules: an optimizer each, with natgrad's names and defaults. docs/rules.md says what each one does."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

Estimator = Literal["price", "gradsq", "per-example", "hessian-vector"]


class Rule:
    """What all rules have in common."""

    kind: ClassVar[str]

    @property
    def has_posterior(self) -> bool:
        """Whether the rule leaves a posterior to sample."""
        return hasattr(self, "ess")

    def to_json(self) -> dict[str, Any]:
        """What `rule` in a configuration says."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {"kind": self.kind} | {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Sgd(Rule):
    """Stochastic gradient descent, with momentum."""

    kind: ClassVar[str] = "sgd"
    #: Learning rate.
    lr: float = 0.1
    #: How much of the buffer is kept; 0 for no buffer.
    momentum: float = 0.9
    #: How much of the gradient is left out of the buffer.
    dampening: float = 0.0
    #: Whether the step looks ahead.
    nesterov: bool = False
    #: Weight decay, added to the gradient.
    weight_decay: float = 0.0


@dataclass(frozen=True)
class RmsProp(Rule):
    """Gradients over the root of their mean square."""

    kind: ClassVar[str] = "rmsprop"
    #: Learning rate.
    lr: float = 1e-3
    #: Decay of the squared gradient's moving average.
    alpha: float = 0.99
    #: Added to the root.
    eps: float = 1e-8
    #: How much of a buffer of scaled steps is kept; 0 for no buffer.
    momentum: float = 0.0
    #: Whether the squared mean gradient is taken off.
    centered: bool = False
    #: Weight decay, added to the gradient.
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Adam(Rule):
    """Adam, with weight decay added to the gradient."""

    kind: ClassVar[str] = "adam"
    #: Learning rate.
    lr: float = 1e-3
    #: Decay of the gradient's moving average.
    beta1: float = 0.9
    #: Decay of the squared gradient's moving average.
    beta2: float = 0.999
    #: Added to the root of the second moment.
    eps: float = 1e-8
    #: Weight decay; 0 if absent.
    weight_decay: float | None = None


@dataclass(frozen=True)
class AdamW(Rule):
    """Adam with weight decay beside the step."""

    kind: ClassVar[str] = "adamw"
    #: Learning rate.
    lr: float = 1e-3
    #: Decay of the gradient's moving average.
    beta1: float = 0.9
    #: Decay of the squared gradient's moving average.
    beta2: float = 0.999
    #: Added to the root of the second moment.
    eps: float = 1e-8
    #: Weight decay; 0.01 if absent.
    weight_decay: float | None = None


@dataclass(frozen=True)
class Blr(Rule):
    """The Bayesian learning rule in natural parameters. Its model needs `squared_gradients`, but for other estimators."""

    kind: ClassVar[str] = "blr"
    #: Learning rate, at most 1.
    lr: float = 0.01
    #: Effective sample size; the number of training rows if absent.
    ess: float | None = None
    #: Initial Hessian.
    hess_init: float = 0.01
    #: The prior's precision is `ess` times this.
    weight_decay: float = 5e-4
    #: How the Hessian is estimated.
    estimator: Estimator = "per-example"
    #: Whether gradients are taken at samples, or at the mean.
    sampling: bool = True


@dataclass(frozen=True)
class Von(Rule):
    """Variational online Newton. Its model needs `hessian_vector`, but for other estimators."""

    kind: ClassVar[str] = "von"
    #: Learning rate.
    lr: float = 0.05
    #: Effective sample size; the number of training rows if absent.
    ess: float | None = None
    #: Initial Hessian.
    hess_init: float = 0.1
    #: Decay of the Hessian's moving average.
    beta2: float = 0.999
    #: The prior's precision is `ess` times this.
    weight_decay: float = 2e-3
    #: How the Hessian is estimated.
    estimator: Estimator = "hessian-vector"
    #: Whether gradients are taken at samples, or at the mean.
    sampling: bool = True


@dataclass(frozen=True)
class Vogn(Rule):
    """Variational online Gauss-Newton. Its model needs `squared_gradients`."""

    kind: ClassVar[str] = "vogn"
    #: Learning rate.
    lr: float = 0.05
    #: Effective sample size; the number of training rows if absent.
    ess: float | None = None
    #: Initial Hessian.
    hess_init: float = 0.05
    #: Decay of the gradient's moving average.
    beta1: float = 0.9
    #: Decay of the Hessian's moving average.
    beta2: float = 0.999
    #: The prior's precision is `ess` times this.
    weight_decay: float = 2e-3
    #: Whether gradients are taken at samples, or at the mean.
    sampling: bool = True


@dataclass(frozen=True)
class Vadam(Rule):
    """Adam by weight perturbation."""

    kind: ClassVar[str] = "vadam"
    #: Learning rate.
    lr: float = 0.03
    #: Effective sample size; the number of training rows if absent.
    ess: float | None = None
    #: Initial second moment.
    hess_init: float = 0.0
    #: Decay of the gradient's moving average.
    beta1: float = 0.9
    #: Decay of the squared gradient's moving average.
    beta2: float = 0.999
    #: The prior's precision is `ess` times this.
    weight_decay: float = 1e-2
    #: Whether gradients are taken at samples, or at the mean.
    sampling: bool = True


@dataclass(frozen=True)
class Ivon(Rule):
    """Improved variational online Newton (Shen et al. 2024)."""

    kind: ClassVar[str] = "ivon"
    #: Learning rate.
    lr: float = 0.8
    #: Effective sample size; the number of training rows if absent.
    ess: float | None = None
    #: Initial Hessian.
    hess_init: float = 0.1
    #: Decay of the gradient's moving average.
    beta1: float = 0.9
    #: Decay of the Hessian's moving average.
    beta2: float = 0.99999
    #: The prior's precision is `ess` times this.
    weight_decay: float = 2e-3
    #: Limit of each element of the preconditioned step; none if absent.
    clip_radius: float | None = None
    #: Limit of each element of the Hessian estimate, in units of the Hessian and `weight_decay`; none if absent.
    hess_clip: float | None = None
    #: How the Hessian is estimated.
    estimator: Estimator = "price"
    #: Whether the momentum is corrected for its start at zero.
    debias: bool = True
    #: Whether the learning rate is multiplied by `hess_init + weight_decay`.
    rescale_lr: bool = True
    #: Whether gradients are taken at samples, or at the mean.
    sampling: bool = True


#: Every rule, by its name in configurations.
RULES: dict[str, type[Rule]] = {rule.kind: rule for rule in (Sgd, RmsProp, Adam, AdamW, Blr, Von, Vogn, Vadam, Ivon)}


def curvature_of(rule: Rule) -> tuple[str, ...]:
    """The functions that a rule needs of a model, beside its gradient."""
    estimator = "per-example" if isinstance(rule, Vogn) else getattr(rule, "estimator", None)
    return {"per-example": ("squared_gradients",), "hessian-vector": ("hessian_vector",)}.get(estimator or "", ())
