"""A made-up day at a broker's: calls that are spoken by a synthesiser, their CSVs, the truth about them, the scoring.

Nothing of the product depends on this package.
"""
