"""What is looked after by the clock: certificates, signing keys, pods that nobody guards."""
