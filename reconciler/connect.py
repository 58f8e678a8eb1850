"""Opens AEP for what was declared: the real service, or the embedded emulator where the environment says so."""
