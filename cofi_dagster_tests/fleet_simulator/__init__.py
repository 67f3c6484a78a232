"""A simulator of GPU machines: the whole protocol over real sockets, with set latency, faults and records.

It is the load generator of the benchmarks and the counterpart of the fault tests. It never listens to audio: what it
says about a call follows from the call's file name alone, so that two runs and two machines agree.

    with FleetSimulator(machines=2) as fleet:
        fleet.fault("status", service="stt", file="a.wav", status=503, retry_after=1, times=2)
        run_a_batch(fleet.environment())
        assert fleet.counts()["stt", "a.wav"] == 3
"""

from cofi_dagster_tests.fleet_simulator.calls import Trade, trades_of
from cofi_dagster_tests.fleet_simulator.fleet import Request
from cofi_dagster_tests.fleet_simulator.front import FleetSimulator

__all__ = ["FleetSimulator", "Request", "Trade", "trades_of"]
