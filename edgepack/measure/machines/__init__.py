"""How jobs reach a machine and its answers come back; transports/ has one file a way, found by the scheme of its address."""
