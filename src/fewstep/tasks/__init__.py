"""Where tasks come from: data sets, their protocols, and episodes drawn from them."""
