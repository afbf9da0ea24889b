"""How values become artifacts and come back."""
