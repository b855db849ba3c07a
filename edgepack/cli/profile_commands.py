"""`edgepack profiles`: the devices that edgepack knows."""

from edgepack.cli.command import Json, print_result
from edgepack.plan.profile import load_profile, profile_names


def profiles(json_: Json = False) -> None:
    """List the devices that edgepack knows."""
    from edgepack.cli.views import profiles_table

    shipped = [load_profile(name) for name in profile_names()]
    print_result([profile.as_json() for profile in shipped], json_, lambda: profiles_table(shipped))
