"""Settings of the property tests in this folder."""

from hypothesis import settings

settings.register_profile("mime", deadline=None)  # the machine is shared; no test here measures time
settings.load_profile("mime")
