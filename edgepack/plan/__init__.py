"""From a profile and a recipe to the steps of a build. Pure: loads no torch and no model files."""
