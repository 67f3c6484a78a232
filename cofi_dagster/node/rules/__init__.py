"""The rule-based extractor behind ``/v1/chat/completions``: what LLM1 and LLM2 are asked, answered without a model.

``complete`` is its front. It needs no GPU and no model file, says in ``model`` that it is rules, and says that it does
not know rather than guess. HTTP is the node's part, not this package's.
"""

from cofi_dagster.node.rules.completion import complete

__all__ = ["complete"]
