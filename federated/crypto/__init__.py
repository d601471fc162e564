"""Cryptography of the protocol: pure functions over integers and bytes, no I/O.

transcript   Fiat-Shamir challenges
fixed_base   many powers of one base
paillier     the public key and encryption (Damgard-Jurik-Nielsen)
safe_primes  the primes of a threshold key
threshold    dealing, partial decryption, combining
share_proofs partial decryptions are right
proofs       knowledge of the plaintexts of a contribution
packing      many signed integers in one plaintext
envelope     HPKE, for key shares
signatures   ECDSA P-256 over a tag and canonical bytes
"""
