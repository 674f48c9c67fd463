"""ChatGPT accounts: how they log in, where their tokens lie, and which of them serves next."""
