"""What is looked after by the clock: certificates, keys, Redis's users, pods that nobody guards."""
