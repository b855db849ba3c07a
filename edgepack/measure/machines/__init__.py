"""How jobs reach a machine and how answers come back. transports/ has one file for each way, found by the address's scheme."""
