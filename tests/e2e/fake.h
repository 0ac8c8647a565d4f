/* A broker of a test's own making: it does what the test says, in the test's own thread, between turns of the loop. */
#ifndef SMQ_TESTS_FAKE_H
#define SMQ_TESTS_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake {
	int listener, fd, port;
	uint8_t packet[70000]; /* the last one that came */
	size_t packet_len;
};

void fake_open(struct fake *f);
void fake_close(struct fake *f);
/* Runs the loop until a client is there, resp. a whole packet came; false after 3 s times PATIENCE. */
bool fake_accept(struct fake *f);
bool fake_read(struct fake *f);
void fake_send(struct fake *f, const void *bytes, size_t len);
/* Accepts, reads CONNECT, answers CONNACK 0 of MQTT 5. */
bool fake_welcome(struct fake *f);
/* Closes the connection, with a reset if asked. */
void fake_hang_up(struct fake *f, bool reset);

#endif
