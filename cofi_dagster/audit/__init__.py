"""The audit of a call: questionnaire, prompts, requests to and replies of LLM1 and LLM2, evidence checking; and what
people make of it: exceptions, and their review.

Pure functions over plain values, but for ``exceptions`` and ``reviews``, which ask the database. No HTTP and no Dagster
belong here.
"""
