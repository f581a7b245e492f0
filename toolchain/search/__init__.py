"""The search: method x amount x precision, each trial a run of the whole flow, and the Pareto front of what came out."""

from toolchain.search.request import SearchRequest
from toolchain.search.search import search_recipe

__all__ = ["SearchRequest", "search_recipe"]
