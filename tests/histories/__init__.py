"""Random histories of every machine, held to its table: no state outside it, no effect lost, none twice.

A history is a seeded random walk. At each step a verb is called by somebody: the client, the freelancer, an admin, a
stranger, the owner, or the system (a deadline, a callback). Before the call the table says what must come of it. When
it lists no edge for (state, verb, part), the call must be refused and not one row may move, in any table. When it lists
one, the state must be that edge's target, and the types of notifications, kinds of mail, names of events and the timers
that were written must be exactly what the edge declares, each once for each recipient.

`./megilance histories [--histories 2000] [--machine dispute] [--seed N]` walks as many over a PostgreSQL of its own
and prints each edge with how often it was taken, and how many absent (state, verb, part) were tried and refused. It
fails when an edge was never taken. The suite walks 25 of each.

**To add a machine's driver**, which takes 30 to 60 lines:

1. `drivers/<nouns>.py`: a class `… (Driver)` with `machine`, `table` (whose `status` column is the state) and `doors`:
   each verb of the machine, and who has a way to call it. PEOPLE is everybody whose id the verb takes and checks; name
   fewer when the role is a guard of the route (tests/access holds those), and `HAND` for what only the system does.
2. `async def begin(self)`: make a subject in the machine's first state, of `self.cast`'s people, and set `self.id`.
   What is dear to make (a contract) is made once a cast: `await self.cast.contract()`.
3. One coroutine a verb, of the verb's name: `async def submit(self, who)` calls it as `self.person(who)`. A deadline is
   fired with `await fire(TimerKind.…, self.id)`; whether it is there is part of what is tested.
4. `async def prepare(self, verb, who)`, if a verb needs something beside the state that is no part of it (a proposal to
   accept, money in escrow, a deadline that is due: `await make_due(kind, self.id)`). It runs before the rows are looked
   at.
5. `follows(state, verb, who)`, where the table does not say all: a verb that succeeds without a change returns the
   state itself, one that a guard refuses returns None, one that leads to several states the one that it leads to now.
6. `also`: by verb, the `Effects` that go with the machine's own edge because another noun moves in the same
   transaction; `staying`: by verb, those of a success without a change.
7. Add it to `drivers/__init__.py`. Until all its verbs exist, name those that do not in `owed` ("shortlist", or with
   its state: "shortlisted accept") with the reason: their edges need not be taken. A verb whose effects are not all written yet is named in `bare`: its state is held, no more.
"""
