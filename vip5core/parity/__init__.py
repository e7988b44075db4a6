"""Code that exists only for comparison with the official implementation (jeykigung/VIP5); no trial uses it."""
