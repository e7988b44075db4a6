"""VIP5 in one process: data, prompts, model, training, decoding and metrics, in plain PyTorch.

Paper: Geng et al., "VIP5: Towards Multimodal Foundation Models for Recommendation", arXiv 2305.14302.
"""

__version__ = "0.1.0"
