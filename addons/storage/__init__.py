"""What outlives an exchange: kept responses, remembered reasoning, usage."""
