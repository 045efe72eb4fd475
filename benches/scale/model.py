"""One session at one gate, request by request; and from that, what gates and Redis have to do."""

import dataclasses
import math
import random

SEED = 13
REQUESTS = 40_000


@dataclasses.dataclass
class Scenario:
    """The difference between the rows of a table."""

    name: str
    active: float
    gates_of_a_session: int
    reading: tuple
    slots: int
    gates: int
    revocations: float


# The seconds after which a session in use is read again, where the server tells of every change: least and most.
WHEN_TOLD = (60, 80)


def within(staleness):
    """The same where it does not: a reading in use is renewed from three quarters of its age on."""
    return 0.75 * 0.75 * staleness, 0.75 * staleness


@dataclasses.dataclass
class Shares:
    """Parts of the requests: a new token at this gate, a session that is read again, an answer from memory."""

    new: float
    reread: float
    cached: float


def simulate(rate, token_seconds, reading, strangers):
    """Asks at random moments. A reading holds until it is due, or until a change in one of its slots; `strangers` such changes
    come a second. A request that has it read ahead of time is counted as one that waits for it."""
    chance = random.Random(SEED)
    now, token_ends, reading_ends = 0.0, 0.0, 0.0
    new = reread = 0
    for _ in range(REQUESTS):
        now += chance.expovariate(rate)
        is_new = now >= token_ends
        if is_new:
            token_ends += token_seconds * math.ceil((now - token_ends + 1e-9) / token_seconds)
            new += 1
        elif now >= reading_ends:
            reread += 1
        if is_new or now >= reading_ends:
            age = chance.uniform(*reading)
            reading_ends = now + min(age, chance.expovariate(strangers) if strangers else age)
    return Shares(new / REQUESTS, reread / REQUESTS, 1 - (new + reread) / REQUESTS)


class Load:
    """The work that a scenario makes for gates and Redis, in a second."""

    def __init__(self, given, scenario):
        self.given, self.scenario = given, scenario
        lifetime = given["session_days"] * 86_400
        self.refreshes = scenario.active / given["token_seconds"]
        # A session that begins, one that ends by itself, and one whose end moves are changes too: Redis tells of every write.
        self.changes = scenario.revocations + self.refreshes + 2 * given["sessions"] / lifetime
        self.strangers = self.changes * 2 / scenario.slots
        rate = given["requests_per_second"] / scenario.active / scenario.gates_of_a_session
        shares = simulate(rate, given["token_seconds"], scenario.reading, self.strangers)
        self.shares = self.with_room(shares, rate)

    def with_room(self, shares, rate):
        """The same where the cache of a gate is too small for its sessions: those that it has no room for are new each time."""
        given, scenario = self.given, self.scenario
        seen = 1 - math.exp(-rate * given["token_seconds"])
        sessions = scenario.active * scenario.gates_of_a_session / scenario.gates * seen
        self.cache_bytes = sessions * given["decision_bytes"]
        kept = min(1.0, given["cache_bytes"] / self.cache_bytes)
        return Shares(1 - kept * (1 - shares.new), kept * shares.reread, kept * shares.cached)

    def gate_cores(self):
        """The cores that all gates keep busy."""
        given, shares = self.given, self.shares
        micros = (shares.cached * given["cached_request_us"] + shares.reread * given["reread_request_us"]
                  + shares.new * given["new_token_us"])
        told = self.changes * given["invalidation_us"] * self.scenario.gates
        return (given["requests_per_second"] * micros + told) / 1e6

    def told_share(self):
        """The part of its core that each gate spends on what it is told."""
        return self.changes * self.given["invalidation_us"] / 1e6

    def gates_needed(self):
        """The gates of one core: what they are told costs each of them the same, however many there are."""
        asking = self.gate_cores() - self.told_share() * self.scenario.gates
        room = self.given["busy"] - self.told_share()
        return math.ceil(asking / room) if room > 0 else math.inf

    def reads(self):
        return self.given["requests_per_second"] * (self.shares.new + self.shares.reread)

    def redis_cores(self):
        """The cores that Redis needs on all shards together, without the writes to gates, which wait for each other."""
        given, gates = self.given, self.scenario.gates
        micros = (self.reads() * given["redis_read_us"] + self.refreshes * given["redis_refresh_us"]
                  + self.scenario.revocations * given["redis_revocation_us"]
                  + self.changes * gates * given["redis_push_key_us"])
        return micros / 1e6

    def shards(self):
        """By processor and by memory."""
        memory = self.given["sessions"] * self.given["session_bytes"]
        return math.ceil(self.redis_cores() / self.given["busy"]), math.ceil(memory / self.given["shard_bytes"])

    def round_ms(self):
        """The time of a round of a shard's loop: what of its core is left goes into one write to each gate."""
        return self.scenario.gates * self.given["redis_push_write_us"] / (1 - self.given["busy"]) / 1e3
