/* What is true, whatever the machines say. */
#include <string.h>

#include "sim.h"

void oracle_publish(struct sim *s, int from, uint64_t readers, const char *topic, char ret_text[SIM_TEXT])
{
	SIM_CHECK(s, s->text_count < TEXTS_MAX, "too many texts for this world");
	struct text *t = &s->texts[s->text_count];
	*t = (struct text){ .from = from, .readers = readers };
	snprintf(t->topic, sizeof(t->topic), "%s", topic);
	snprintf(ret_text, SIM_TEXT, "secret%09zu", s->text_count++);
}

void oracle_sealed(struct sim *s, smq_span payload)
{
	for (size_t i = 0; i + 6 <= payload.len; i++)
		SIM_CHECK(s, memcmp(payload.p + i, "secret", 6) != 0, "the broker can read it");
}

void oracle_delivered(struct sim *s, int to, const char *sender, const char *topic, smq_span plain, bool again)
{
	char text[SIM_TEXT] = "";
	size_t number = 0;
	SIM_CHECK(s, plain.len == SIM_TEXT - 1, "member %d opened %zu bytes that nobody sealed", to, plain.len);
	memcpy(text, plain.p, plain.len);
	SIM_CHECK(s, sscanf(text, "secret%9zu", &number) == 1 && number < s->text_count,
		  "member %d opened a text that nobody sealed", to);
	struct text *t = &s->texts[number];
	sim_note(s, "member %d opened %s from %s", to, text, sender);
	SIM_CHECK(s, strcmp(sim_identity(s->real, t->from)->name, sender) == 0,
		  "%s is from %s, and was told to be from %s", text, sim_identity(s->real, t->from)->name, sender);
	SIM_CHECK(s, strcmp(t->topic, topic) == 0, "%s was published to %s, and opened on %s", text, t->topic, topic);
	SIM_CHECK(s, t->readers >> to & 1, "%s was not meant for member %d", text, to);
	SIM_CHECK(s, again || !(t->delivered >> to & 1), "%s was delivered twice to member %d", text, to);
	t->delivered |= UINT32_C(1) << to;
	s->delivered++;
}

bool oracle_reached(const struct sim *s, size_t text, uint64_t readers)
{
	return (s->texts[text].delivered & readers) == readers;
}
