"""Units of rounding, and what a sum may be off by."""

U64, U32, TINY32 = 2.0**-53, 2.0**-24, 2.0**-126


def gamma(terms: float, unit: float = U64) -> float:
    """Relative error of a sum of so many products in any order: n u / (1 - n u) (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1).

    >>> gamma(2**20) < 1.2e-10
    True
    """
    return terms * unit / (1 - terms * unit)
