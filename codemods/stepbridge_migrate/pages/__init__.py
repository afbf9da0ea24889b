"""The pages behind the codes: why a site is kept, refused, warned of or remarked on, and what to do."""
