"""The objects' materials, and their attenuation at the two energies."""

from functools import cache

import numpy as np
import xraydb
from numpy.typing import NDArray

# Effective energies in keV of the two readings of a 160 kV line scanner: the front detector
# measures the soft half of the spectrum, the detector behind a copper filter the hard half.
ENERGIES_KEV = (72.0, 122.0)

# The colours distinguish elements up to zinc; above zinc, K edges bend the curve.
CALIBRATION_ELEMENTS = range(6, 31)

# A chemical formula as xraydb reads it, and a density in g/cm3. For loose materials (cloth, board,
# stuffing) the density includes their air.
MATERIALS = {
    "steel": ("Fe", 7.87),
    "aluminium": ("Al", 2.70),
    "brass": ("Cu63Zn37", 8.5),
    "copper": ("Cu", 8.96),
    "zinc": ("Zn92Al8", 6.7),
    "lead": ("Pb", 11.3),
    "zirconia": ("ZrO2", 6.0),
    "glass": ("Na2CaSi6O14", 2.5),
    "porcelain": ("Al2Si2O7", 2.4),
    "water": ("H2O", 1.0),
    "paper": ("C6H10O5", 0.85),
    "board": ("C6H10O5", 0.18),
    "cotton": ("C6H10O5", 0.22),
    "polyester": ("C10H8O4", 0.25),
    "leather": ("C2H3NO", 0.9),
    "rubber": ("C50H80S2ZnO", 1.2),
    "plastic": ("C15H17N", 1.05),
    "nylon": ("C12H22N2O2", 1.14),
    "pvc": ("C2H3Cl", 1.38),
    "foam": ("C3H6", 0.05),
    "wood": ("C6H10O5", 0.65),
    "food": ("C6H12O6", 0.9),
    "soap": ("C12H25NaO6", 1.05),
    "talc": ("Mg3Si4O12H2", 1.1),
    "lithium": ("LiCoO2C9CuAl", 2.3),
    "circuit": ("C20H20O16Si7Cu", 1.9),
    "powder": ("C6H7N3O11", 0.9),
}


@cache
def attenuation(name: str) -> tuple[float, float]:
    """Return the linear attenuation of a material, in 1/cm, at `ENERGIES_KEV`.

    From xraydb's tables (Elam, Ravel and Sieber), coherent scatter included, by the mixture rule.
    """
    formula, density = MATERIALS[name]
    low, high = (
        float(xraydb.material_mu(formula, 1000 * energy, density=density))
        for energy in ENERGIES_KEV
    )
    return low, high


@cache
def z_calibration() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ratios of low to high attenuation of elements, rising, and atomic numbers."""
    energies = [1000 * energy for energy in ENERGIES_KEV]
    pairs = [xraydb.mu_elam(element, energies) for element in CALIBRATION_ELEMENTS]
    ratios = np.array([low / high for low, high in pairs])
    return ratios, np.array(CALIBRATION_ELEMENTS, dtype=np.float64)
