"""The reference GPU node: real engines behind the GPU protocol on one port, on the CPU where no GPU is.

COFI itself imports this package in the command line alone: any server that speaks the protocol can stand in for it.
"""
