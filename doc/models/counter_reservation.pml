/*
 * Counters of a device that keeps its boot id (PROTOCOL.md 3.7, src/core/reserve.c): it reserves them in blocks on its
 * disk, and may fall at any moment, in the middle of a write too. No counter is ever used twice under one key.
 *
 *     spin -run counter_reservation.pml               holds
 *     spin -run -DBROKEN counter_reservation.pml      fails: uses a block before it is on the disk
 */
#define COUNTERS 7
#define BLOCK 2

byte disk;      /* the value last stored: everything below it may have been used */
bool used[COUNTERS];

active proctype device()
{
	byte next, limit, pending;
start:
	next = disk;
	limit = disk;
	pending = 0;
	do
	:: pending == 0 && next >= limit && limit + BLOCK <= COUNTERS ->
		pending = limit + BLOCK;        /* the write begins */
#ifdef BROKEN
		limit = pending;
#endif
	:: pending != 0 ->
		disk = pending;                 /* it has reached the disk ... */
		if
		:: goto start                   /* ... and the device falls before it is told */
		:: limit = pending; pending = 0 /* it is told */
		fi
	:: next < limit ->
		assert(!used[next]);
		used[next] = true;
		next++
	:: goto start                           /* falls; what was being written is lost */
	:: next >= limit && limit + BLOCK > COUNTERS -> break
	od
}
