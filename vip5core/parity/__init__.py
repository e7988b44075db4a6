"""What is here only to compare with the official implementation (jeykigung/VIP5); no trial uses it."""
