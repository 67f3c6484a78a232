"""The GPU machines: client of their protocol, what their replies mean, their health. Knows no stage and no database."""
