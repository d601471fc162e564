"""The embedded proof-of-authority chain: one signer, one machine, a process of its own.

Clique (EIP-225) on py-evm with its state in SQLite; JSON-RPC on the loopback for web3.py. It lets
one machine run the whole service. All its keys lie on that machine, so it convinces nobody but the
machine's owner: a consortium points `blockchain.rpc_url` at a chain that its members run together.
"""
