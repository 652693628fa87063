"""A believable marketplace, written straight into a desk's database: `./megilance seed`."""
