"""The pages at /relay/: accounts, exchanges, totals, providers, set-up of clients."""
