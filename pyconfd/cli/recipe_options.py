"""The options shared by the commands about recipes."""

from __future__ import annotations

from pyconfd.config.options import Option
from pyconfd.config.shipped import RECIPES

GROUP = "Recipes"
FROM = Option("from", "text", RECIPES, "the folder of the recipes", GROUP, "FOLDER",
              in_file=False, default_text="those that come with pyconfd")  # fmt: skip
