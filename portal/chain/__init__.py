"""The embedded proof-of-authority chain: nodes that seal in turn, one process per node.

Clique (EIP-225) on py-evm with its state in SQLite; JSON-RPC on the loopback for web3.py. By
default one node with one key runs on the portal's machine: it convinces only the owner of that
machine. In production each organization runs its own node, or the consortium points
`blockchain.rpc_url` at another chain of its own (docs/operate/chain.md).
"""
