"""Cryptography of the protocol: pure functions over integers and bytes, no I/O.

transcript   Fiat-Shamir challenges
paillier     the public key and encryption (Damgard-Jurik-Nielsen)
threshold    dealing, partial decryption and its proofs, combining
proofs       knowledge of the plaintexts of a contribution
packing      many signed integers in one plaintext
envelope     HPKE, for key shares
signatures   ECDSA P-256 over a tag and canonical bytes
"""
