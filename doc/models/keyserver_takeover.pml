/*
 * Two key servers with one identity: one is restored from a backup, or a standby takes over, while the other still
 * runs (PROTOCOL.md 7). Each keeps its epoch in a store of its own, and stores before it publishes. A server that
 * takes over jumps far above what its store says.
 * No epoch number is issued with two contents.
 *
 *     spin -run keyserver_takeover.pml                holds
 *     spin -run -DBROKEN keyserver_takeover.pml       fails: takes over without a jump
 *     spin -run -DPUBLISH_FIRST keyserver_takeover.pml   fails: published, then stored
 */
#define JUMP 8
#define EPOCHS 16
#define STEPS 3         /* epochs that a server makes at most; less than JUMP: the bound that the jump rests on */

byte issued_by[EPOCHS]; /* 0: nobody; else a content of its own for each time an epoch is made */
byte backup;            /* epoch in the store when it was copied */
byte made;              /* contents so far */

/* Published under this number: whoever published it before must have meant the same. */
inline publish(epoch, content) {
	assert(issued_by[epoch] == 0 || issued_by[epoch] == content);
	issued_by[epoch] = content
}

proctype server(byte base; byte steps)
{
	byte stored = base, epoch, content, n;
	for (n : 1 .. steps) {
		epoch = stored + 1;
		atomic { made++; content = made }
#ifdef PUBLISH_FIRST
		publish(epoch, content);
		if
		:: stored = epoch
		:: true -> skip /* falls here: the store knows nothing of it */
		fi
#else
		if
		:: stored = epoch
		:: goto again /* falls before it is stored: nobody has seen it */
		fi;
		publish(epoch, content);
again:		skip
#endif
	}
}

init {
	byte base;
	/* the first one has made some epochs when the backup is taken, and goes on */
	select(base : 1 .. 2);
	backup = base;
	run server(base, STEPS);
#ifdef BROKEN
	run server(backup, STEPS)
#else
	run server(backup + JUMP, STEPS)
#endif
}
