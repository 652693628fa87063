"""The demo: the product's story on a running desk, each step checked, ending with the ledger's proof."""
