"""Scaling laws: from one number, the compound coefficient phi, to multipliers of depth, width and resolution.

Every law here is exponential, x(phi) = x(1) ** phi, so that phi may be any real number and phi = 0 is the
baseline. MACs grow with depth * width**2 * resolution**2; the laws other than `compound` are normalised so
that MACs grow as 2**phi before rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from convscale.errors import ConfigError, UnknownNameError
from convscale.flattening import AsDict
from convscale.schema import check

# Grid search of the paper for EfficientNet-B0 on ImageNet (Tan & Le 2019, section 3.3).
ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15

# The largest multiplier of one dimension that somebody could still mean.
MAX_MULTIPLIER = 1000.0

DIMENSIONS = ("depth", "width", "resolution")


@dataclass(frozen=True, slots=True)
class Scaling(AsDict):
    """Multipliers of a baseline's repeats, channels and input side. Raises ConfigError unless positive."""

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0

    def __post_init__(self) -> None:
        check(self)
        for name in DIMENSIONS:
            value = getattr(self, name)
            if not 0 < value <= MAX_MULTIPLIER:
                raise ConfigError(
                    f"{name} multiplier {value} is not allowed",
                    hint=f"a number above 0 and at most {MAX_MULTIPLIER:g}; 1 leaves it as it is",
                )

    def in_words(self) -> str:
        """As "depth x1.2, width x1.1, resolution x1.15"."""
        return f"depth x{self.depth:.3g}, width x{self.width:.3g}, resolution x{self.resolution:.3g}"


@dataclass(frozen=True, slots=True)
class ScalingLaw:
    """Multipliers at phi = 1; `law(phi)` raises each to the power phi.

    Raises ConfigError for a multiplier below 1 (a law grows or keeps each dimension) and for one that grows
    nothing.
    """

    name: str
    depth: float
    width: float
    resolution: float

    def __post_init__(self) -> None:
        check(self)
        bases = (self.depth, self.width, self.resolution)
        if not all(1 <= base <= 10 for base in bases):
            raise ConfigError(
                f"law {self.name!r}: {bases} as depth, width and resolution at phi 1 is not allowed",
                hint="each must lie between 1 (not scaled) and 10",
            )
        if max(bases) == 1:
            raise ConfigError(f"law {self.name!r} scales nothing", hint="raise alpha, beta or gamma above 1")

    def __call__(self, phi: float) -> Scaling:
        """The multipliers at `phi`. Raises ConfigError where phi is not finite or absurdly large."""
        try:
            return Scaling(self.depth**phi, self.width**phi, self.resolution**phi)
        except (OverflowError, ConfigError):
            raise ConfigError(
                f"phi {phi} is not allowed for law {self.name!r}",
                hint=f"multipliers must stay above 0 and within {MAX_MULTIPLIER:g}; B1 to B7 are phi 0.5 to 7",
            ) from None

    @property
    def macs_growth(self) -> float:
        """Growth of MACs from phi to phi + 1 before rounding: alpha * beta**2 * gamma**2."""
        return self.depth * self.width**2 * self.resolution**2


def compound_law(alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA) -> ScalingLaw:
    """Depth alpha**phi, width beta**phi, resolution gamma**phi (Tan & Le 2019, equation 3)."""
    return ScalingLaw("compound", depth=alpha, width=beta, resolution=gamma)


def shares_law(depth: float, width: float, resolution: float, name: str = "shares") -> ScalingLaw:
    """Give each dimension a share of the extra MACs: a share s of depth is a factor 2**s at phi = 1, of width
    or resolution 2**(s/2). Shares are normalised to 1 (the pycls scaler, Dollár et al. 2021).

    Raises ConfigError for a negative share or none above 0.
    """
    total = depth + width + resolution
    if not (math.isfinite(total) and min(depth, width, resolution) >= 0 and total > 0):
        raise ConfigError(
            f"shares {depth}, {width}, {resolution} of depth, width, resolution are not allowed",
            hint="none below 0, at least one above 0",
        )
    return ScalingLaw(name, 2 ** (depth / total), 2 ** (width / total / 2), 2 ** (resolution / total / 2))


# "fast" is dWr of "Fast and Accurate Model Scaling" (Dollár et al. 2021), d1_w8_g8_r1 in pycls.
LAWS: dict[str, Callable[[], ScalingLaw]] = {
    "compound": compound_law,
    "depth": lambda: shares_law(1, 0, 0, "depth"),
    "width": lambda: shares_law(0, 1, 0, "width"),
    "resolution": lambda: shares_law(0, 0, 1, "resolution"),
    "uniform": lambda: shares_law(1, 1, 1, "uniform"),
    "fast": lambda: shares_law(1, 8, 1, "fast"),
}


def list_laws() -> list[str]:
    """The names that `law` knows."""
    return list(LAWS)


def law(name: str, **coefficients: float) -> ScalingLaw:
    """A law by name; `alpha`, `beta` and `gamma` belong to "compound" alone.

    Raises UnknownNameError, and ConfigError for coefficients that the law does not take.
    """
    if name not in LAWS:
        raise UnknownNameError("scaling law", name, LAWS)
    if not coefficients:
        return LAWS[name]()
    if name != "compound":
        given = ", ".join(coefficients)
        raise ConfigError(f"law {name!r} takes no {given}", hint="they belong to --law compound")
    return compound_law(**coefficients)


def compound(phi: float, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA) -> Scaling:
    """The compound law at `phi`: a formula. The published networks were rounded by hand: see `published`."""
    return compound_law(alpha, beta, gamma)(phi)


# Name -> (width, depth, resolution in pixels) of the released networks: efficientnet_builder.py:39-48 and
# efficientnet_lite_builder.py. All scale a baseline of 224 pixels.
RELEASED = {
    "b0": (1.0, 1.0, 224),
    "b1": (1.0, 1.1, 240),
    "b2": (1.1, 1.2, 260),
    "b3": (1.2, 1.4, 300),
    "b4": (1.4, 1.8, 380),
    "b5": (1.6, 2.2, 456),
    "b6": (1.8, 2.6, 528),
    "b7": (2.0, 3.1, 600),
    "b8": (2.2, 3.6, 672),
    "l2": (4.3, 5.3, 800),
    "lite0": (1.0, 1.0, 224),
    "lite1": (1.0, 1.1, 240),
    "lite2": (1.1, 1.2, 260),
    "lite3": (1.2, 1.4, 280),
    "lite4": (1.4, 1.8, 300),
}


def published(name: str) -> Scaling:
    """The hand-rounded multipliers of a released EfficientNet, "b0" to "b8", "l2", "lite0" to "lite4".

    Raises UnknownNameError.
    """
    if name not in RELEASED:
        raise UnknownNameError("published scaling", name, RELEASED, hint=f"allowed: {', '.join(RELEASED)}")
    width, depth, pixels = RELEASED[name]
    return Scaling(depth=depth, width=width, resolution=pixels / 224)
