"""What holds for every test: no network but loopback, nothing of a shell, no test left out unseen, no verdict by clock.

Nothing else is global: a fixture lives in the folder that uses it.
"""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.counts", "tests.support.network", "tests.support.surroundings"]

# A busy machine makes no property fail, and a failing example prints what repeats it. The rest is as hypothesis has it,
# which in CI takes the same examples every time.
settings.register_profile(
    "carnet", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
)
settings.load_profile("carnet")
