"""A pack becomes a module of somebody's app. A file here is a platform, found by its name; what platforms share is in common/."""
