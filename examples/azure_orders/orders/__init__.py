"""The orders of a shop: the domain and its read models, without a package of Azure Functions."""
