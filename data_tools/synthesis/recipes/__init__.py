"""The recipes by name, and one of the user's own from a Python file."""

from data_tools.synthesis.recipe import Recipe
from data_tools.synthesis.recipes.active_reading import ActiveReading
from data_tools.synthesis.recipes.custom import configured, load
from data_tools.synthesis.recipes.focal import Focal
from data_tools.synthesis.recipes.latent_thoughts import LatentThoughts
from data_tools.synthesis.recipes.paraphrase import Paraphrase
from data_tools.synthesis.recipes.qa import QA
from data_tools.synthesis.recipes.repeat import Repeat
from data_tools.synthesis.recipes.rephrase import Rephrase
from data_tools.synthesis.recipes.sbp import SBP

__all__ = ["RECIPES", "configured", "load"]

_ALL: tuple[type[Recipe], ...] = (SBP, Rephrase, LatentThoughts, ActiveReading, QA, Focal, Paraphrase, Repeat)
RECIPES = {recipe.name: recipe for recipe in _ALL}
