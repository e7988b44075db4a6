"""`ray up cluster.yaml` on hosts and an EC2 that are simulated on this machine."""
