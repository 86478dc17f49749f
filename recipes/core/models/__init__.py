"""Loading models, and verifying saved weights."""

from recipes.core.models.loading import configure_model, load_model, weight_dtype

__all__ = ["configure_model", "load_model", "weight_dtype"]
