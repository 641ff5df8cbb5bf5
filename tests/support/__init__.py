"""What tests share: small networks, known optima, forged records, the command line."""
