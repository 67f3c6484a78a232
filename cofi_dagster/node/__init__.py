"""The reference GPU node: real engines behind the GPU protocol on one port, on the CPU where no GPU is.

COFI itself never imports this package outside the command line; any server that speaks the protocol can stand in for it.
"""
