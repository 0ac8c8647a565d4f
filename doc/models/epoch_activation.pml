/*
 * A new epoch: distributed, activated at a stated time, the old one receive-only for a grace, then wiped
 * (PROTOCOL.md 6.6; design: rotation is never a cliff). One sender, one receiver, clocks at most SKEW apart, messages
 * at most DELAY under way. The manifest reaches both before the epoch is active. No message is lost, and none of the
 * old epoch is opened once it must be over.
 *
 *     spin -run epoch_activation.pml                  holds
 *     spin -run -DBROKEN epoch_activation.pml         fails: no grace
 *     spin -run -DNO_NOTICE epoch_activation.pml      fails: activated as soon as it comes
 */
#define SKEW 1
#define DELAY 1
#define ACTIVATE 3
#ifdef BROKEN
#define GRACE 0
#else
#define GRACE (SKEW + DELAY)
#endif
#define END (ACTIVATE + SKEW + DELAY + GRACE + 2)

byte now;              /* true time */
byte ahead_sender, ahead_receiver; /* by how much their clocks are ahead: 0 to SKEW */
bool sender_has, receiver_has;     /* the manifest of epoch 1 */
byte sent_at[2];       /* of the newest message of each epoch under way; 255: none */

#define sender_now (now + ahead_sender)
#define receiver_now (now + ahead_receiver)
#ifdef NO_NOTICE
#define sender_epoch (sender_has -> 1 : 0)
#else
#define sender_epoch ((sender_has && sender_now >= ACTIVATE) -> 1 : 0)
#endif
#define opens_old (!receiver_has || receiver_now < ACTIVATE + GRACE)
#define opens_new (receiver_has)
/* Time may pass only if nothing that must have happened by then is still to happen. */
#define manifest_due (now + 1 + SKEW >= ACTIVATE && !(sender_has && receiver_has))
#define message_due(e) (sent_at[e] != 255 && now + 1 > sent_at[e] + DELAY)

active proctype world()
{
	byte e;
	sent_at[0] = 255;
	sent_at[1] = 255;
	if
	:: ahead_sender = 0
	:: ahead_sender = SKEW
	fi;
	if
	:: ahead_receiver = 0
	:: ahead_receiver = SKEW
	fi;
	do
	:: now < END && !manifest_due && !message_due(0) && !message_due(1) -> now++
	:: !sender_has -> sender_has = true
	:: !receiver_has -> receiver_has = true
	:: now < END - DELAY -> /* a message is sent */
		e = sender_epoch;
		if
		:: sent_at[e] == 255 -> sent_at[e] = now
		:: else -> skip
		fi
	:: sent_at[0] != 255 -> assert(opens_old); sent_at[0] = 255
	:: sent_at[1] != 255 -> assert(opens_new); sent_at[1] = 255
	:: now == END && sent_at[0] == 255 && sent_at[1] == 255 ->
		assert(!opens_old); /* over is over */
		break
	od
}
