"""What a study file asks: spec, space, plan, search, confirmation."""
