"""Which call is the evidence for which trade: pure functions over data frames. No SQL, no HTTP, no Dagster.

``step1`` matches by metadata alone, ``step2`` by what was said. Rule of law behind both: SEBI circular
SEBI/HO/MIRSD/DOP1/CIR/P/2018/54 (22 March 2018): an order is executed only after evidence of it is kept.
"""
