"""The audit of a call: questionnaire, prompts, requests to and replies of LLM1 and LLM2, evidence checking.

Pure functions over plain values. No HTTP, no SQL and no Dagster belong here.
"""
