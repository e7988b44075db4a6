"""Ray: clusters, what each trial gets of one, feature extraction, trials, and what their failures mean."""
